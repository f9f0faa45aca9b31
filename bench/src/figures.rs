//! Percentiles, medians and spreads: pure, and the same for peer and project.

use std::fmt;

/// The value below which `percent` of `sorted` lie (nearest rank); NaN when
/// there is none.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.saturating_sub(1).min(last)]
}

/// Sorted, for [`percentile`].
pub fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// What several rounds gave: the middle one, and how far they lay apart.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The middle round.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Spread {
    /// Of one figure a round.
    pub fn of(rounds: impl IntoIterator<Item = f64>) -> Self {
        let rounds = sorted(rounds);
        let middle = rounds.len() / 2;
        let median = match rounds.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => rounds[middle],
            _ => f64::midpoint(rounds[middle - 1], rounds[middle]),
        };
        Self {
            median,
            low: rounds.first().copied().unwrap_or(f64::NAN),
            high: rounds.last().copied().unwrap_or(f64::NAN),
        }
    }

    /// Of the quotients of rounds that ran side by side: what disturbs a round
    /// disturbs both halves of it.
    pub fn of_ratios(project: &[f64], peer: &[f64]) -> Self {
        Self::of(project.iter().zip(peer).map(|(ours, theirs)| ours / theirs))
    }
}

/// `12.3 (11.9–14.0)`, as many decimals as asked for; alternate (`#`) without
/// the spread.
impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = out.precision().unwrap_or(1);
        write!(out, "{:.places$}", self.median)?;
        if out.alternate() {
            return Ok(());
        }
        write!(out, " ({:.places$}–{:.places$})", self.low, self.high)
    }
}

/// The slope of the straight line that fits best through `(x, y)`.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let over: f64 = points
        .iter()
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let under: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    over / under
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_rounds_is_their_median() {
        for (rounds, median) in [
            (vec![3.0], 3.0),
            (vec![9.0, 1.0, 2.0], 2.0),
            (vec![4.0, 1.0, 2.0, 100.0], 3.0),
        ] {
            let spread = Spread::of(rounds);
            assert!((spread.median - median).abs() < f64::EPSILON, "{spread}");
        }
        assert_eq!(
            format!("{:.2}", Spread::of([2.0, 1.0, 4.0])),
            "2.00 (1.00–4.00)"
        );
    }

    #[test]
    fn the_percentile_is_one_of_the_values() {
        let values = sorted((1..=100).rev().map(f64::from));
        for (percent, value) in [(50.0, 50.0), (99.0, 99.0), (100.0, 100.0), (0.0, 1.0)] {
            assert!((percentile(&values, percent) - value).abs() < f64::EPSILON);
        }
        assert!(percentile(&[], 50.0).is_nan());
    }

    #[test]
    fn the_slope_of_a_line_is_its_own() {
        let line: Vec<_> = (0..5)
            .map(|x| (f64::from(x), f64::from(7 + 3 * x)))
            .collect();
        assert!((slope(&line) - 3.0).abs() < 1e-9);
    }
}
