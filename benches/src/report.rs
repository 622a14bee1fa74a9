//! From samples to what people read: tables, a summary with an honest verdict per row, JSON and pictures.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::machine::Machine;
use crate::measure::{CPU_NS, RSS, Sample};
use crate::plot;
use crate::rows::{GREENLOOM, Row, Target, Unit};
use crate::runner::{Results, Samples};
use crate::stats::Spread;

/// Everything measured so far.
#[derive(Serialize)]
pub struct Report {
    machine: Machine,
    quick: bool,
    rounds: usize,
    rows: Vec<Measured>,
}

/// A row with its figures.
#[derive(Serialize)]
pub struct Measured {
    #[serde(skip)]
    pub row: &'static Row,
    pub name: &'static str,
    pub title: &'static str,
    pub baseline: &'static str,
    pub verdict: Verdict,
    pub lines: Vec<Line>,
}

/// One runtime in a row.
#[derive(Serialize)]
pub struct Line {
    pub runtime: &'static str,
    /// `None` if no round succeeded.
    pub value: Option<Spread>,
    /// Median over the rounds of this runtime's value by the baseline's in the same round.
    pub ratio: Option<f64>,
    pub cpu_ns: Option<f64>,
    pub rss_bytes: Option<f64>,
    pub remark: Option<String>,
    pub samples: Vec<f64>,
}

/// Whether greenloom reached the row's target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Verdict {
    NoTarget,
    NotMeasured,
    Reached,
    /// By how much, as a factor above the target.
    FallsShort(f64),
}

impl Report {
    pub fn new(machine: Machine, quick: bool, rounds: usize) -> Report {
        Report { machine, quick, rounds, rows: Vec::new() }
    }

    /// Adds a job's rows and returns a printable table of each.
    pub fn add(&mut self, results: &Results) -> Vec<String> {
        let measured: Vec<_> = results.job.rows.iter().map(|row| measure(row, results)).collect();
        let tables = measured.iter().map(table).collect();
        self.rows.extend(measured);
        tables
    }

    /// All targets and verdicts in one table.
    pub fn summary(&self) -> String {
        let mut table = new_table(&["row", "greenloom", "to reach", "verdict", "nearest peers"]);
        for measured in &self.rows {
            table.add_row(vec![
                measured.title.to_owned(),
                ours(measured),
                target_text(measured),
                verdict_text(&measured.verdict),
                peers(measured),
            ]);
        }
        align(&mut table, &[1]);
        format!("Summary\n\n{table}\n")
    }

    /// The rows that greenloom could not do at all, though it was asked to.
    pub fn greenloom_failures(&self) -> Vec<&'static str> {
        let failed = |measured: &&Measured| {
            let line = measured.lines.iter().find(|line| line.runtime == GREENLOOM);
            line.is_some_and(|line| {
                let skipped = line.remark.as_deref().is_some_and(|remark| remark.starts_with("skipped"));
                line.value.is_none() && !skipped
            })
        };
        self.rows.iter().filter(failed).map(|measured| measured.name).collect()
    }

    /// Writes `results.json`, `RESULTS.md` and an SVG per row.
    pub fn write(&self, out: &Path) -> Result<()> {
        fs::create_dir_all(out)?;
        fs::write(out.join("results.json"), serde_json::to_string_pretty(self)? + "\n")?;
        let mut text = format!("# greenloom's benchmarks\n\n{}.\n", self.machine.line());
        if let Some(warning) = self.machine.busy() {
            writeln!(text, "\n{warning}")?;
        }
        let how = if self.quick { "a quick run" } else { "a full run" };
        write!(text, "\nMedians of {how}, up to {} rounds.\n\n## {}\n", self.rounds, self.summary())?;
        for measured in &self.rows {
            writeln!(text, "## {}", table(measured).trim_end())?;
            if plot::draw(measured, &out.join(format!("{}.svg", measured.name)))? {
                write!(text, "\n![{}]({}.svg)\n", measured.title, measured.name)?;
            }
            text.push('\n');
        }
        fs::write(out.join("RESULTS.md"), text.trim_end().to_owned() + "\n")?;
        Ok(())
    }
}

fn measure(row: &'static Row, results: &Results) -> Measured {
    let samples = |name: &str| results.runtimes.iter().find(|runtime| runtime.name == name);
    let baseline = samples(row.baseline);
    let lines: Vec<Line> = results.runtimes.iter().map(|runtime| line(row, runtime, baseline)).collect();
    let ours = lines.iter().find(|line| line.runtime == GREENLOOM);
    let verdict = match (row.target, ours) {
        (None, _) => Verdict::NoTarget,
        (Some(Target::AtMost(limit)), Some(Line { value: Some(value), .. })) => judge(value.median, limit),
        (Some(Target::RatioAtMost(limit)), Some(Line { ratio: Some(ratio), .. })) => judge(*ratio, limit),
        _ => Verdict::NotMeasured,
    };
    Measured { row, name: row.name, title: row.title, baseline: row.baseline, verdict, lines }
}

fn judge(value: f64, limit: f64) -> Verdict {
    if value <= limit { Verdict::Reached } else { Verdict::FallsShort(value / limit) }
}

fn line(row: &Row, runtime: &Samples, baseline: Option<&Samples>) -> Line {
    let of = |sample: &Sample, metric: &str| sample.metrics.get(metric).copied();
    let values: Vec<f64> = runtime.rounds.iter().filter_map(|sample| of(sample, row.metric)).collect();
    let pairs = baseline.into_iter().flat_map(|baseline| runtime.rounds.iter().zip(&baseline.rounds));
    let ratios = pairs.filter_map(|(ours, theirs)| Some(of(ours, row.metric)? / of(theirs, row.metric)?));
    let median = |metric: &str| {
        Spread::of(runtime.rounds.iter().filter_map(|sample| of(sample, metric))).map(|spread| spread.median)
    };
    Line {
        runtime: runtime.name,
        value: Spread::of(values.iter().copied()),
        ratio: Spread::of(ratios).map(|spread| spread.median),
        cpu_ns: median(CPU_NS),
        rss_bytes: median(RSS),
        remark: runtime.failure.clone().or_else(|| runtime.rounds.iter().find_map(|s| s.note.clone())),
        samples: values,
    }
}

/// A row's table with its title, its meaning and its verdict.
fn table(measured: &Measured) -> String {
    let row = measured.row;
    let mut text = format!("{} ({})\n\n{}\n\n", row.title, row.name, row.about);
    let skipped = measured.lines.iter().all(|line| line.value.is_none());
    if let (true, Some(remark)) = (skipped, measured.lines.first().and_then(|line| line.remark.as_ref())) {
        writeln!(text, "{remark}").expect("a String takes all");
        return text;
    }
    let against = format!("against {}", measured.baseline);
    let mut table =
        new_table(&["runtime", "median", "IQR", "min to max", &against, "CPU/op", "RSS", "remark"]);
    for line in &measured.lines {
        let value = line.value.as_ref();
        table.add_row(vec![
            line.runtime.to_owned(),
            value.map_or("-".into(), |spread| show(row.unit, spread.median)),
            value.map_or("-".into(), |spread| format!("{:.0}%", spread.iqr_percent())),
            value.map_or("-".into(), |s| format!("{} to {}", show(row.unit, s.min), show(row.unit, s.max))),
            line.ratio.map_or("-".into(), |ratio| format!("{}x", ratio_text(ratio))),
            line.cpu_ns.map_or("-".into(), |ns| show(Unit::Nanoseconds, ns)),
            line.rss_bytes.map_or("-".into(), |bytes| format!("{:.1} MB", bytes / 1e6)),
            line.remark.clone().unwrap_or_default(),
        ]);
    }
    align(&mut table, &[1, 2, 3, 4, 5, 6]);
    writeln!(text, "{table}").expect("a String takes all");
    if row.target.is_some() {
        let verdict = verdict_text(&measured.verdict);
        writeln!(text, "\ngreenloom {}, to reach: {}: {verdict}", ours(measured), target_text(measured))
            .expect("a String takes all");
    }
    text
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header.iter().copied());
    table
}

fn align(table: &mut Table, right: &[usize]) {
    for &index in right {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// greenloom's figure in the terms of the row's target.
fn ours(measured: &Measured) -> String {
    let Some(line) = measured.lines.iter().find(|line| line.runtime == GREENLOOM) else { return "-".into() };
    let value = line.value.map_or("-".into(), |value| show(measured.row.unit, value.median));
    match (measured.row.target, line.ratio) {
        (Some(Target::RatioAtMost(_)), Some(ratio)) => format!("{ratio:.3}x ({value})"),
        _ => value,
    }
}

fn target_text(measured: &Measured) -> String {
    match measured.row.target {
        None => String::new(),
        Some(Target::AtMost(limit)) => format!("at most {}", show(measured.row.unit, limit)),
        Some(Target::RatioAtMost(limit)) => format!("at most {limit:.2}x {}", measured.baseline),
    }
}

fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::NoTarget => String::new(),
        Verdict::NotMeasured => "not measured".into(),
        Verdict::Reached => "reached".into(),
        Verdict::FallsShort(factor) => format!("falls short, {:.1}% over", (factor - 1.0) * 100.0),
    }
}

/// The best three of the others.
fn peers(measured: &Measured) -> String {
    let unit = measured.row.unit;
    let others = measured.lines.iter().filter(|line| !line.runtime.starts_with(GREENLOOM));
    let mut others: Vec<_> = others.filter_map(|line| Some((line.runtime, line.value?.median))).collect();
    others.sort_by(|a, b| a.1.total_cmp(&b.1));
    if unit == Unit::PerCpuSecond {
        others.reverse();
    }
    let texts: Vec<_> = others.iter().take(3).map(|(name, v)| format!("{name} {}", show(unit, *v))).collect();
    texts.join(", ")
}

/// A value with its unit, three or four digits.
pub fn show(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Nanoseconds if value < 100.0 => format!("{value:.2} ns"),
        Unit::Nanoseconds if value < 10_000.0 => format!("{value:.0} ns"),
        Unit::Nanoseconds => format!("{:.1} us", value / 1e3),
        Unit::Seconds => format!("{value:.3} s"),
        Unit::Bytes => format!("{value:.0} B"),
        Unit::Count if value < 100.0 => format!("{value:.3}"),
        Unit::Count => format!("{value:.0}"),
        Unit::PerCpuSecond => format!("{:.1} k/s", value / 1e3),
    }
}

fn ratio_text(ratio: f64) -> String {
    match ratio {
        r if r < 10.0 => format!("{r:.3}"),
        r if r < 100.0 => format!("{r:.1}"),
        r => format!("{r:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_how_far_off() {
        assert_eq!(judge(7.0, 7.0), Verdict::Reached);
        assert_eq!(verdict_text(&judge(8.4, 7.0)), "falls short, 20.0% over");
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let sample = |value| Sample::default().with("m", value);
        let samples = |name, values: &[f64]| Samples {
            name,
            rounds: values.iter().map(|value| sample(*value)).collect(),
            failure: None,
        };
        static ROW: Row = Row {
            name: "r",
            title: "r",
            metric: "m",
            unit: Unit::Count,
            baseline: "base",
            target: None,
            about: "",
        };
        // A machine that halves its speed in the second round leaves the ratio alone.
        let base = samples("base", &[10.0, 20.0, 10.0]);
        let line = line(&ROW, &samples("other", &[20.0, 40.0, 20.0]), Some(&base));
        assert_eq!(line.ratio, Some(2.0));
    }
}
