//! One bar chart per row, as SVG: bars for the medians, whiskers for the quartiles, a line for the target.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{Line, Measured, show};
use crate::rows::{GREENLOOM, Target, Unit};

const WIDTH: i32 = 860;
const LEFT: i32 = 170;
const RIGHT: i32 = 150;
const TOP: i32 = 52;
const BAR: i32 = 20;
const STEP: i32 = 30;

const OURS: RGBColor = RGBColor(34, 139, 84);
const BARE: RGBColor = RGBColor(140, 140, 140);
const PEER: RGBColor = RGBColor(92, 128, 188);
const TARGET: RGBColor = RGBColor(200, 60, 50);
const INK: RGBColor = RGBColor(40, 40, 40);

/// Draws the row; false if it has fewer than two bars, and nothing was drawn.
pub fn draw(measured: &Measured, path: &Path) -> Result<bool> {
    let lines: Vec<&Line> = measured.lines.iter().filter(|line| line.value.is_some()).collect();
    if lines.len() < 2 {
        return Ok(false);
    }
    let height = TOP + lines.len() as i32 * STEP + 34;
    let backend = SVGBackend::new(path, (WIDTH as u32, height as u32));
    let area = backend.into_drawing_area();
    paint(&area, measured, &lines, height).map_err(|e| anyhow!("{}: {e}", path.display()))?;
    Ok(true)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Painted = std::result::Result<(), Box<dyn std::error::Error>>;

fn paint(area: &Area, measured: &Measured, lines: &[&Line], height: i32) -> Painted {
    area.fill(&WHITE)?;
    let text = |size: i32, color: &'static RGBColor, h, v| {
        TextStyle::from(("sans-serif", size).into_font()).color(color).pos(Pos::new(h, v))
    };
    area.draw_text(measured.title, &text(17, &INK, HPos::Left, VPos::Center), (12, 18))?;
    let limit = match measured.row.target {
        Some(Target::AtMost(limit)) => Some(limit),
        Some(Target::RatioAtMost(limit)) => {
            let base = lines.iter().find(|line| line.runtime == measured.baseline);
            base.and_then(|line| line.value).map(|value| value.median * limit)
        }
        None => None,
    };
    let scale = Scale::over(lines, limit);
    let unit = measured.row.unit;
    let direction = if unit == Unit::PerCpuSecond { "more is better" } else { "less is better" };
    let caption = if scale.log { format!("{direction}, logarithmic") } else { direction.to_owned() };
    area.draw_text(&caption, &text(12, &BARE, HPos::Left, VPos::Center), (12, 38))?;

    for (index, line) in lines.iter().enumerate() {
        let Some(value) = line.value else { continue };
        let y = TOP + index as i32 * STEP;
        let middle = y + BAR / 2;
        let end = scale.x(value.median);
        area.draw_text(line.runtime, &text(14, &INK, HPos::Right, VPos::Center), (LEFT - 8, middle))?;
        area.draw(&Rectangle::new([(LEFT, y), (end, y + BAR)], color(line.runtime).filled()))?;
        let whisker = [(scale.x(value.q1), middle), (scale.x(value.q3), middle)];
        area.draw(&PathElement::new(whisker, INK.stroke_width(1)))?;
        let label = end.max(scale.x(value.q3)) + 6;
        area.draw_text(
            &show(unit, value.median),
            &text(13, &INK, HPos::Left, VPos::Center),
            (label, middle),
        )?;
    }
    if let Some(limit) = limit {
        let x = scale.x(limit);
        let bottom = TOP + lines.len() as i32 * STEP;
        area.draw(&PathElement::new([(x, TOP - 6), (x, bottom)], TARGET.stroke_width(1)))?;
        let label = format!("to reach: {}", show(unit, limit));
        area.draw_text(&label, &text(12, &TARGET, HPos::Left, VPos::Center), (x + 4, height - 22))?;
    }
    area.present()?;
    Ok(())
}

fn color(runtime: &str) -> RGBColor {
    if runtime.starts_with(GREENLOOM) {
        OURS
    } else if runtime.starts_with("bare") {
        BARE
    } else {
        PEER
    }
}

/// From values to pixels: from zero, or logarithmic if the bars differ too much to be seen together.
struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    fn over(lines: &[&Line], limit: Option<f64>) -> Scale {
        let medians = lines.iter().filter_map(|line| line.value).map(|value| value.median).chain(limit);
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for value in medians.filter(|value| *value > 0.0) {
            low = low.min(value);
            high = high.max(value);
        }
        let log = high / low > 20.0;
        Scale { low: if log { low / 2.0 } else { 0.0 }, high, log }
    }

    fn x(&self, value: f64) -> i32 {
        let part = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            value / self.high
        };
        LEFT + (part.clamp(0.0, 1.0) * f64::from(WIDTH - LEFT - RIGHT)) as i32
    }
}
