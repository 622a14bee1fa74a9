//! Order statistics: medians and quartiles, because one disturbed sample must not move a row.

use serde::Serialize;

/// Median, quartiles and extremes of some samples.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub q1: f64,
    pub q3: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// `None` for no samples.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let at = |q| quantile(&sorted, q);
        Some(Spread { median: at(0.5), q1: at(0.25), q3: at(0.75), min, max })
    }

    /// Distance between the quartiles as a percentage of the median: how far to trust the row.
    pub fn iqr_percent(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.q3 - self.q1) / self.median * 100.0 }
    }
}

/// Linear interpolation between the two nearest of `sorted`, which is not empty.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = position.ceil() as usize;
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_quartiles_interpolate() {
        let s = Spread::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((s.median, s.q1, s.q3, s.min, s.max), (2.5, 1.75, 3.25, 1.0, 4.0));
        assert_eq!(s.iqr_percent(), 60.0);
    }

    #[test]
    fn one_sample_is_its_own_spread_and_none_has_none() {
        assert_eq!(Spread::of([7.0]).unwrap().q3, 7.0);
        assert!(Spread::of([]).is_none());
    }
}
