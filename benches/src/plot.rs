//! Curves as SVG.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

/// One curve: a name and its points.
pub type Curve = (String, Vec<(f64, f64)>);

/// What a plot says beside its curves.
pub struct Frame<'a> {
    /// The title.
    pub title: &'a str,
    /// What runs to the right; logarithmic.
    pub x: &'a str,
    /// What runs up; logarithmic.
    pub y: &'a str,
}

/// Writes curves over two logarithmic axes.
///
/// # Errors
/// When there are no points, or the file cannot be written.
pub fn log_log(file: &Path, frame: &Frame<'_>, curves: &[Curve]) -> anyhow::Result<()> {
    let points = || curves.iter().flat_map(|(_, points)| points).copied();
    let range = |of: fn((f64, f64)) -> f64| {
        let (low, high) = points().map(of).fold((f64::MAX, f64::MIN), |(low, high), n| (low.min(n), high.max(n)));
        (low * 0.8)..(high * 1.25)
    };
    anyhow::ensure!(points().next().is_some(), "there is nothing to plot");
    draw(file, frame, curves, range(|(x, _)| x), range(|(_, y)| y)).map_err(|error| anyhow!("{error}"))
}

fn draw(
    file: &Path,
    frame: &Frame<'_>,
    curves: &[Curve],
    across: std::ops::Range<f64>,
    up: std::ops::Range<f64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(file, (760, 440)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(frame.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(across.log_scale(), up.log_scale())?;
    chart
        .configure_mesh()
        .x_desc(frame.x)
        .y_desc(frame.y)
        .x_label_formatter(&|n| short(*n))
        .y_label_formatter(&|n| short(*n))
        .draw()?;
    for (at, (name, points)) in curves.iter().enumerate() {
        let colour = Palette99::pick(at).to_rgba();
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
        let legend = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2));
        chart.draw_series(line)?.label(name).legend(legend);
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}

/// 1500 as 1.5k.
fn short(n: f64) -> String {
    let (n, unit) = match n {
        n if n >= 1e9 => (n / 1e9, "G"),
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e3 => (n / 1e3, "k"),
        n => (n, ""),
    };
    let digits = if n < 10.0 && n.fract() != 0.0 { 1 } else { 0 };
    format!("{n:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_become_an_image() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plot.svg");
        let frame = Frame { title: "Growth", x: "objects", y: "bytes" };
        log_log(&file, &frame, &[("orc".to_owned(), vec![(1e4, 2e7), (1e5, 2e8), (1e6, 2e9)])]).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.starts_with("<svg") && text.contains("Growth") && text.contains("1M"), "{text}");
        assert!(log_log(&folder.path().join("none.svg"), &frame, &[]).is_err());
    }

    #[test]
    fn axes_read_well() {
        assert_eq!([950.0, 1500.0, 1e6, 2.5e9].map(short), ["950", "1.5k", "1M", "2.5G"]);
    }
}
