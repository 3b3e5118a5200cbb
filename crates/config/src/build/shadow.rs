//! Rules that can never run, and those whose order decides: what the analysis of the rules finds, as diagnostics.

use evenkeel_acl::shadow::{Finding, Why};

use super::Cx;
use crate::codes;
use crate::place::At;

/// Tells of `findings` in a list whose rules stand at `places`. `rewritten`: rules may have changed a request before this
/// list sees it.
pub(super) fn report(findings: Vec<Finding>, places: &[At], rewritten: bool, cx: &mut Cx<'_>) {
    for finding in findings {
        let Some(&at) = places.get(finding.index) else { continue };
        let message = format!("this rule {}", finding.sentence());
        let example = if rewritten { "example request, as the rules before leave it" } else { "example request" };
        let example = finding.witness.as_ref().map(|witness| format!("{example}: {witness}"));
        match finding.why {
            Why::Contradiction => {
                let hint = match finding.acls[..] {
                    [_] => "no request has such a value; a path begins with `/`, and `lower` leaves no upper case",
                    _ => "acls side by side must all hold; write `or` between those of which one is enough",
                };
                cx.sink.warn(codes::NEVER_HOLDS, at, message).hint(hint);
            }
            Why::AfterEnd => {
                let hint = "move it up, or give the other a condition";
                cx.sink.warn(codes::RULE_NEVER_RUNS, at, message).hint(hint);
            }
            Why::Shadowed => {
                let hint = example.or_else(|| Some("whatever it matches is decided there".to_owned()));
                cx.sink.warn(codes::SHADOWED, at, message).maybe_hint(hint);
            }
            Why::OrderDecides => {
                cx.sink.note(codes::ORDER_DECIDES, at, message).maybe_hint(example);
            }
        }
    }
}
