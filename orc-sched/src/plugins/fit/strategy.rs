//! How much use of a node's resources is good.

use orc_core::Name;

use crate::plugin::MAX_SCORE;
use crate::pod::Requests;
use crate::view::Columns;

/// A resource and how much it counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Weighed {
    /// The resource.
    pub name: Name,
    /// Its weight, 1 to 100.
    pub weight: i64,
}

impl Weighed {
    /// CPU and memory, of weight 1.
    pub fn defaults() -> Vec<Self> {
        ["cpu", "memory"].map(|name| Self { name: name.into(), weight: 1 }).to_vec()
    }

    /// What a pod adds when nodes are scored; `None` when the resource does not count for it, as an extended one that it does
    /// not ask for.
    pub(super) fn asked(&self, asked: &Requests) -> Option<i64> {
        match &*self.name {
            "cpu" => Some(asked.scored_cpu),
            "memory" => Some(asked.scored_memory),
            "ephemeral-storage" => Some(asked.ephemeral),
            "pods" => Some(1),
            name => asked.other.iter().find(|(other, _)| **other == *name).map(|(_, n)| *n),
        }
    }

    /// What nodes have and what is used of it, by slot.
    pub(super) fn columns<'a>(&self, columns: &'a Columns) -> Option<(&'a [i64], &'a [i64])> {
        let column = columns.column(&self.name)?;
        let (cpu, memory) = columns.scored();
        let used = match &*self.name {
            "cpu" => cpu,
            "memory" => memory,
            _ => columns.requested(column),
        };
        Some((columns.allocatable(column), used))
    }
}

/// How nodes are scored by the use of their resources.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// The more stays free the better.
    Least(Vec<Weighed>),
    /// The more is used the better.
    Most(Vec<Weighed>),
    /// By a curve of points: use in hundredths, and a score from 0 to 10.
    Shape(Vec<Weighed>, Vec<(i64, i64)>),
}

impl Default for Strategy {
    fn default() -> Self {
        Self::Least(Weighed::defaults())
    }
}

impl Strategy {
    pub(super) fn resources(&self) -> &[Weighed] {
        match self {
            Self::Least(resources) | Self::Most(resources) | Self::Shape(resources, _) => resources,
        }
    }

    /// The score for resources given as: what there is, what is used with the pod, the weight.
    pub(super) fn score(&self, used: &[(i64, i64, i64)]) -> i64 {
        let (mut sum, mut weights) = (0, 0);
        for (has, used, weight) in used {
            let score = match self {
                Self::Least(_) => share((has - used).max(0), *has),
                Self::Most(_) => share(*used.min(has), *has),
                Self::Shape(_, points) => on_curve(points, share(*used.min(has), *has)),
            };
            // As upstream, resources that score nothing on a curve do not lower the others.
            if !matches!(self, Self::Shape(..)) || score > 0 {
                sum += score * weight;
                weights += weight;
            }
        }
        match self {
            _ if weights == 0 => 0,
            Self::Shape(..) => (sum as f64 / weights as f64).round() as i64,
            _ => sum / weights,
        }
    }
}

/// A part of a whole in hundredths.
fn share(part: i64, whole: i64) -> i64 {
    i64::try_from(i128::from(part) * i128::from(MAX_SCORE) / i128::from(whole)).unwrap_or(0)
}

/// The score at a place of a curve, straight between its points and level beyond them.
fn on_curve(points: &[(i64, i64)], at: i64) -> i64 {
    const SCALE: i64 = MAX_SCORE / 10;
    let after = points.iter().position(|(x, _)| at <= *x);
    match after {
        Some(0) => points[0].1 * SCALE,
        Some(after) => {
            let ((x0, y0), (x1, y1)) = (points[after - 1], points[after]);
            y0 * SCALE + (y1 - y0) * SCALE * (at - x0) / (x1 - x0)
        }
        None => points.last().map_or(0, |(_, y)| y * SCALE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_stays_free() {
        let least = Strategy::default();
        assert_eq!(least.score(&[(4000, 3000, 1), (10_000, 5000, 1)]), (25 + 50) / 2);
        assert_eq!(least.score(&[(4000, 3000, 1)]), 25);
        assert_eq!(least.score(&[(1000, 2000, 1), (1000, 0, 1)]), 50);
        assert_eq!(least.score(&[]), 0);
    }

    #[test]
    fn most_and_curves() {
        let most = Strategy::Most(Weighed::defaults());
        assert_eq!(most.score(&[(100, 30, 3), (100, 70, 1)]), (90 + 70) / 4);
        assert_eq!(most.score(&[(100, 130, 1)]), 100);
        let shape = Strategy::Shape(Weighed::defaults(), vec![(0, 0), (50, 10), (100, 5)]);
        assert_eq!(shape.score(&[(100, 25, 1)]), 50);
        assert_eq!(shape.score(&[(100, 75, 1)]), 75);
        assert_eq!(shape.score(&[(100, 0, 1), (100, 50, 1)]), 100, "a resource that scores nothing does not count");
    }
}
