//! Curves as SVG, side by side. Text only: the same numbers give the same bytes.

use std::fmt::Write as _;

/// One panel: a title and its curves.
#[derive(Clone, PartialEq, Debug)]
pub struct Chart {
    /// The title.
    pub title: String,
    /// What runs to the right, with its unit.
    pub x: String,
    /// What runs up, with its unit.
    pub y: String,
    /// Curves: a name and points in ascending order of the first number.
    pub curves: Vec<(String, Vec<(f64, f64)>)>,
}

/// Colours that people of all colour visions tell apart (Okabe and Ito, 2008).
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a8a00"];
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 320.0;
/// What stays free around a panel's curves.
const LEFT: f64 = 64.0;
const TOP: f64 = 34.0;
const RIGHT: f64 = 16.0;
const BOTTOM: f64 = 48.0;

/// Panels in two columns, with a legend below.
pub fn svg(charts: &[Chart]) -> String {
    let names = names(charts);
    let rows = charts.len().div_ceil(2);
    let legend = 22.0 * names.len().div_ceil(4) as f64 + 12.0;
    let (width, height) = (WIDTH * charts.len().clamp(1, 2) as f64, HEIGHT * rows as f64 + legend);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (at, chart) in charts.iter().enumerate() {
        let _ = writeln!(out, "<g transform=\"translate({},{})\">", WIDTH * (at % 2) as f64, HEIGHT * (at / 2) as f64);
        panel(&mut out, chart, &names);
        out.push_str("</g>\n");
    }
    for (at, name) in names.iter().enumerate() {
        let (x, y) = (LEFT + 150.0 * (at % 4) as f64, HEIGHT * rows as f64 + 16.0 + 22.0 * (at / 4) as f64);
        let colour = COLOURS[at % COLOURS.len()];
        let _ = writeln!(out, "<rect x=\"{x}\" y=\"{}\" width=\"18\" height=\"4\" fill=\"{colour}\"/>", y - 6.0);
        let _ = writeln!(out, "<text x=\"{}\" y=\"{y}\">{}</text>", x + 24.0, escape(name));
    }
    out.push_str("</svg>\n");
    out
}

/// A page that holds the panels and a table.
pub fn html(title: &str, charts: &[Chart], table: &[Vec<String>]) -> String {
    let mut out = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{0}</title>\n<style>body{{font-family:sans-serif;margin:2em}}\
         td,th{{padding:.2em .8em;text-align:right}}td:first-child,th:first-child{{text-align:left}}\
         svg{{max-width:100%;height:auto}}</style>\n<h1>{0}</h1>\n<table>\n",
        escape(title)
    );
    for (number, row) in table.iter().enumerate() {
        let tag = if number == 0 { "th" } else { "td" };
        let cells: String = row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        let _ = writeln!(out, "<tr>{cells}</tr>");
    }
    out.push_str("</table>\n");
    out.push_str(&svg(charts));
    out
}

fn names(charts: &[Chart]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in charts.iter().flat_map(|chart| &chart.curves) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

fn panel(out: &mut String, chart: &Chart, names: &[&str]) {
    let points = || chart.curves.iter().flat_map(|(_, points)| points);
    let (x_low, x_high) = wide(points().map(|point| point.0));
    let (y_low, y_high) = wide(points().map(|point| point.1).chain([0.0]));
    let x = |value: f64| LEFT + (value - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - (value - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM);
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{}</text>", escape(&chart.title));
    for step in 0..=5 {
        let share = f64::from(step) / 5.0;
        let (across, up) = (x_low + share * (x_high - x_low), y_low + share * (y_high - y_low));
        let (left, right, at) = (x(x_low), x(x_high), y(up));
        let _ = writeln!(out, "<path d=\"M{left:.1},{at:.1}H{right:.1}\" stroke=\"#ddd\"/>");
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            short(up)
        );
        let (at, below) = (x(across), HEIGHT - BOTTOM + 16.0);
        let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{}</text>", short(across));
    }
    let (middle, below) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 10.0);
    let _ = writeln!(out, "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>", escape(&chart.x));
    let beside = HEIGHT / 2.0;
    let _ = writeln!(
        out,
        "<text transform=\"translate(14,{beside}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        escape(&chart.y)
    );
    for (name, points) in &chart.curves {
        let place = names.iter().position(|known| known == name).unwrap_or_default();
        let path: Vec<String> = points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        let (path, colour) = (path.join(" "), COLOURS[place % COLOURS.len()]);
        let _ = writeln!(out, "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
    }
}

/// The lowest and the highest, apart from each other.
fn wide(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    match (low > high, low == high) {
        (true, _) => (0.0, 1.0),
        (_, true) => (low, low + 1.0),
        _ => (low, high),
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 10_000.0 => format!("{:.0}k", value / 1000.0),
        large if large >= 20.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_stay_inside_and_names_are_escaped() {
        let curve = vec![(0.0, 5.0), (10.0, 5.0)];
        let chart = Chart { title: "a<b".into(), x: "s".into(), y: "%".into(), curves: vec![("one".into(), curve)] };
        let svg = svg(&[chart]);
        assert!(svg.contains("a&lt;b") && svg.contains(&format!("points=\"{LEFT:.1},{TOP:.1} ")), "{svg}");
        assert!(svg.contains(&format!(" {:.1},{TOP:.1}\"", WIDTH - RIGHT)), "{svg}");
        assert_eq!(wide([].into_iter()), (0.0, 1.0));
    }
}
