//! An explanation as a person reads it.

use anstyle::{AnsiColor, Style};
use orc_sched::Explanation;
use orc_sched::engine::NodeExplanation;

use crate::cells::{Cell, aligned};

/// Warnings.
pub const WARN: Style = AnsiColor::Yellow.on_default();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
/// Nodes that are shown of each sort; of more, the data tells.
const SHOWN: usize = 40;

/// The decision, the nodes that will do with their scores, the others with the reasons.
pub fn text(explanation: &Explanation, held: Option<&str>) -> String {
    let mut out = head(explanation, held);
    let (mut fit, refused): (Vec<&NodeExplanation>, Vec<&NodeExplanation>) =
        explanation.nodes.iter().partition(|node| node.refused.is_empty());
    fit.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.node.cmp(&b.node)));
    if !fit.is_empty() {
        out += &format!("\n{}", aligned(&scores(&fit, explanation.decision.as_deref().ok())));
        out += &more(fit.len());
    }
    if !refused.is_empty() {
        out += &format!("\n{}", aligned(&reasons(&refused)));
        out += &more(refused.len());
    }
    out
}

fn head(explanation: &Explanation, held: Option<&str>) -> String {
    let mut out = match &explanation.decision {
        Ok(node) => format!("{BOLD}{}{BOLD:#} goes to {GOOD}{node}{GOOD:#}", explanation.pod),
        Err(why) => format!("{BOLD}{}{BOLD:#} goes nowhere: {BAD}{why}{BAD:#}", explanation.pod),
    };
    out += &format!("\n{DIM}profile {}, seed {}{DIM:#}\n", explanation.profile, explanation.seed);
    if let Some(held) = held {
        out += &format!("{WARN}it is not tried yet: {held}{WARN:#}\n");
    }
    out
}

fn more(count: usize) -> String {
    match count.saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("{DIM}and {more} more nodes; `-o json` has all{DIM:#}\n"),
    }
}

/// A line a node, a column a plugin: the weighted score, so that a line adds up.
fn scores(nodes: &[&NodeExplanation], chosen: Option<&str>) -> Vec<Vec<Cell>> {
    let plugins: Vec<(&str, i64)> = nodes[0].scores.iter().map(|score| (score.plugin, score.weight)).collect();
    let mut head = vec![("NODE".to_owned(), BOLD), ("TOTAL".to_owned(), BOLD)];
    head.extend(plugins.iter().map(|(plugin, weight)| match weight {
        1 => ((*plugin).to_owned(), BOLD),
        weight => (format!("{plugin} x{weight}"), BOLD),
    }));
    let mut lines = vec![head];
    for node in nodes.iter().take(SHOWN) {
        let style = if chosen == Some(&node.node) { GOOD } else { Style::new() };
        let mut line = vec![(node.node.clone(), style), (node.total.unwrap_or_default().to_string(), style)];
        line.extend(plugins.iter().map(|(plugin, _)| {
            let score = node.scores.iter().find(|score| score.plugin == *plugin);
            (score.map_or("-".to_owned(), |score| (score.score * score.weight).to_string()), DIM)
        }));
        lines.push(line);
    }
    lines
}

fn reasons(nodes: &[&NodeExplanation]) -> Vec<Vec<Cell>> {
    let mut lines = vec![["REFUSED", "PLUGIN", "REASON"].map(|head| (head.to_owned(), BOLD)).to_vec()];
    for node in nodes.iter().take(SHOWN) {
        for (at, verdict) in node.refused.iter().enumerate() {
            let name = if at == 0 { node.node.clone() } else { String::new() };
            let style = if verdict.resolvable { WARN } else { BAD };
            lines.push(vec![
                (name, Style::new()),
                (verdict.plugin.to_owned(), style),
                (verdict.reason.clone(), Style::new()),
            ]);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_sched::engine::{Score, Verdict};

    #[test]
    fn an_explanation_is_readable_without_colours() {
        let score = |plugin, score, weight| Score { plugin, raw: 0, score, weight };
        let node = |name: &str, scores: Vec<Score>, total| {
            let (node, refused) = (name.to_owned(), Vec::new());
            NodeExplanation { node, refused, scores, total }
        };
        let refused =
            vec![Verdict { plugin: "NodeResourcesFit", reason: "Insufficient cpu".to_owned(), resolvable: true }];
        let explanation = Explanation {
            pod: "d/a".to_owned(),
            profile: "default-scheduler".to_owned(),
            decision: Ok("n2".to_owned()),
            seed: 7,
            nodes: vec![
                node("n1", vec![score("Taints", 10, 3), score("Fit", 5, 1)], Some(35)),
                node("n2", vec![score("Taints", 20, 3), score("Fit", 1, 1)], Some(61)),
                NodeExplanation { refused, ..node("n3", Vec::new(), None) },
            ],
        };
        let shown = anstream::adapter::strip_str(&text(&explanation, Some("gated"))).to_string();
        let want = "d/a goes to n2\nprofile default-scheduler, seed 7\nit is not tried yet: gated\n\
                    \nNODE  TOTAL  Taints x3  Fit\nn2    61     60         1\nn1    35     30         5\n\
                    \nREFUSED  PLUGIN            REASON\nn3       NodeResourcesFit  Insufficient cpu\n";
        assert_eq!(shown, want);
    }
}
