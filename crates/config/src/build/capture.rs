//! `capture` and `declare-capture`: the slots of a frontend, those that rules declare behind them.

use std::rc::Rc;
use std::sync::Arc;

use evenkeel_acl::CaptureSlot;

use super::{Cx, Layers, arc, is_token};
use crate::codes;
use crate::model::{Capture, CaptureCookie, Captures};
use crate::shape::{Node, Val};

/// Tells the rule compiler of the slots that keys declare, so that rules refer to them and add their own.
pub(super) fn declare(layers: &Layers<'_, '_>, cx: &mut Cx<'_>) {
    let [request, response] = keys(layers);
    let slots = |list: &[Capture]| list.iter().map(|capture| CaptureSlot { len: capture.len }).collect();
    for capture in layers.own.find("capture").and_then(Val::table).into_iter().flat_map(headers) {
        if let Some(text) = capture.text().filter(|text| !is_token(text)) {
            cx.sink.error(codes::BAD_HEADER, capture.at, format!("\"{text}\" is not the name of a header"));
        }
    }
    let library = Rc::clone(&cx.library);
    library.captures.borrow_mut().insert(Arc::from(layers.name), (slots(&request), slots(&response)));
}

/// Every slot, once the rules are compiled.
pub(super) fn slots(layers: &Layers<'_, '_>, cx: &mut Cx<'_>) -> Captures {
    let [mut request, mut response] = keys(layers);
    if let Some((all_request, all_response)) = cx.library.captures.borrow().get(layers.name) {
        for (list, all) in [(&mut request, all_request), (&mut response, all_response)] {
            let more = all.iter().skip(list.len()).map(|slot| Capture { header: None, len: slot.len });
            list.extend(more.collect::<Vec<_>>());
        }
    }
    let cookie = layers.own.find("capture.cookie").and_then(Val::table).and_then(|node| cookie(node, cx));
    Captures { request, response, cookie }
}

fn cookie(node: &Node<'_>, cx: &mut Cx<'_>) -> Option<CaptureCookie> {
    let (name, value) = (arc(node.find("name")?)?, node.find("len")?);
    let (len, most) = (len(value)?, cx.cookie_len);
    if len > most {
        cx.sink
            .warn(
                codes::NO_EFFECT,
                value.at,
                format!("only {most} bytes of it are kept, which is `tune.http.cookielen`"),
            )
            .hint(format!("write {most} here, or in [global]: tune.http.cookielen = {len}"));
    }
    Some(CaptureCookie { name, len: len.min(most) })
}

/// The slots of the two keys, for requests and responses.
fn keys(layers: &Layers<'_, '_>) -> [Vec<Capture>; 2] {
    ["request", "response"].map(|side| {
        let fields = layers.own.find(&format!("capture.{side}")).map(Val::list).unwrap_or_default();
        let fields = fields.iter().filter_map(|value| {
            let node = value.table()?;
            Some(Capture { header: Some(arc(node.find("header")?)?), len: len(node.find("len")?)? })
        });
        let declared = layers.own.find(&format!("declare-capture.{side}")).map(Val::list).unwrap_or_default();
        fields.chain(declared.iter().filter_map(|value| Some(Capture { header: None, len: len(value)? }))).collect()
    })
}

fn headers<'n>(node: &'n Node<'_>) -> Vec<&'n Val<'n>> {
    let lists = ["request", "response"].into_iter().filter_map(|side| node.find(side)).flat_map(Val::list);
    lists.filter_map(|value| value.table()?.find("header")).collect()
}

fn len(value: &Val<'_>) -> Option<usize> {
    value.int().and_then(|n| usize::try_from(n).ok())
}
