//! The text format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

use super::instrument::Distribution;

/// What kind of number a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
}

/// Families of samples, one after the other.
#[derive(Debug, Default)]
pub struct Text {
    out: String,
    name: &'static str,
}

impl Text {
    /// The format's media type.
    pub const MEDIA_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a family; the samples that follow are its own.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.name = name;
        // Writing into a string cannot fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Writes a sample of the family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.line("", labels, None, value);
    }

    /// A family of one sample without labels.
    pub fn one(&mut self, name: &'static str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    /// Writes the samples of a histogram.
    pub fn histogram(&mut self, labels: &[(&str, &str)], read: &Distribution) {
        let mut below = 0;
        for (bound, count) in read.bounds.iter().zip(&read.counts) {
            below += count;
            self.line("_bucket", labels, Some(&bound.to_string()), below as f64);
        }
        self.line("_bucket", labels, Some("+Inf"), read.count() as f64);
        self.line("_sum", labels, None, read.seconds);
        self.line("_count", labels, None, read.count() as f64);
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.out
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: f64) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            let _ = write!(self.out, "{before}{name}=\"{}\"", escaped(value));
            before = ',';
        }
        let end = if before == ',' { "} " } else { " " };
        let _ = writeln!(self.out, "{end}{value}");
    }
}

/// A label's value, in which a backslash, a quote and a line's end are written as two characters.
fn escaped(value: &str) -> std::borrow::Cow<'_, str> {
    if value.contains(['\\', '"', '\n']) {
        value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
    } else {
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histogram;
    use std::time::Duration;

    #[test]
    fn families_read_as_prometheus_writes_them() {
        let mut text = Text::default();
        text.one("up", Kind::Gauge, "Whether it runs.", 1.0);
        text.family("took_seconds", Kind::Histogram, "How long.");
        let histogram = Histogram::new(&[0.5, 1.0]);
        histogram.observe(Duration::from_millis(250));
        histogram.observe(Duration::from_secs(2));
        text.histogram(&[("what", "a \"b\"\\\n")], &histogram.read());
        let want = r#"# HELP up Whether it runs.
# TYPE up gauge
up 1
# HELP took_seconds How long.
# TYPE took_seconds histogram
took_seconds_bucket{what="a \"b\"\\\n",le="0.5"} 1
took_seconds_bucket{what="a \"b\"\\\n",le="1"} 1
took_seconds_bucket{what="a \"b\"\\\n",le="+Inf"} 2
took_seconds_sum{what="a \"b\"\\\n"} 2.25
took_seconds_count{what="a \"b\"\\\n"} 2
"#;
        assert_eq!(text.into_string(), want);
    }
}
