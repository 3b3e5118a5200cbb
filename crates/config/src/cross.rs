//! What only the whole configuration can tell: references between sections, and sections without a purpose.

use std::collections::HashMap;

use crate::build::{Built, BuiltFrontend, Cx, Reference};
use crate::codes;
use crate::model::Mode;
use crate::nearest::did_you_mean;
use crate::place::At;

/// Checks everything; `names` are all sections of the file. `whole`: no section is missing for another reason.
pub(crate) fn check(built: &Built, names: &HashMap<&str, At>, whole: bool, cx: &mut Cx<'_>) {
    let backends: HashMap<&str, Mode> = built.backends.iter().map(|b| (&*b.backend.name, b.backend.mode)).collect();
    for front in &built.frontends {
        for reference in &front.references {
            refers(front, reference, &backends, names, whole, cx);
        }
        purpose(front, cx);
    }
    for back in &built.backends {
        let backend = &back.backend;
        let kind = if backend.listen { "listen" } else { "backend" };
        if !back.has_servers && !back.has_rules && !elsewhere(built, &backend.name) {
            cx.sink
                .warn(codes::NO_SERVER, back.at, format!("the {kind} `{}` has no server", backend.name))
                .hint("what it gets is answered with 503; write `server = [\"127.0.0.1:3000\"]`");
        }
        if !backend.servers.is_empty() && backend.servers.iter().all(|server| server.weight == 0) {
            cx.sink
                .warn(codes::NO_WEIGHT, back.at, format!("every server of `{}` has weight 0", backend.name))
                .hint("give at least one a weight of 1 or more");
        }
    }
    let serves = built.frontends.iter().any(|front| !front.frontend.disabled);
    if !serves && whole && !cx.syntax_errors && cx.files.count() > 0 {
        cx.sink
            .warn(codes::NO_PROXY, At::new(0, 0..0), "there is no frontend and no listen that is enabled")
            .hint("the smallest useful section: [listen.web] with `bind` and `server`");
    }
}

fn refers(
    front: &BuiltFrontend,
    reference: &Reference,
    backends: &HashMap<&str, Mode>,
    names: &HashMap<&str, At>,
    whole: bool,
    cx: &mut Cx<'_>,
) {
    let name = &*reference.name;
    let frontend = &front.frontend;
    match backends.get(name) {
        Some(Mode::Tcp) if frontend.mode == Mode::Http => {
            let message = format!("`{}` is in http mode, `{name}` in tcp mode", frontend.name);
            cx.sink
                .error(codes::MODE_MISMATCH, reference.at, message)
                .hint("set `mode = \"http\"` in both, or in defaults");
        }
        // What a frontend in tcp mode sends to a backend in http mode becomes HTTP.
        Some(_) => {}
        None if !whole => {}
        None => {
            let hint = match names.get(name) {
                Some(_) => Some(format!("`{name}` is a frontend; a rule can name a backend or a listen")),
                None => did_you_mean(name, backends.keys().copied())
                    .or_else(|| Some(format!("define it: [backend.{name}]"))),
            };
            cx.sink
                .error(codes::UNKNOWN_BACKEND, reference.at, format!("there is no backend `{name}`"))
                .maybe_hint(hint);
        }
    }
}

/// A frontend must be reachable and must lead somewhere.
fn purpose(front: &BuiltFrontend, cx: &mut Cx<'_>) {
    let frontend = &front.frontend;
    if frontend.disabled {
        return;
    }
    let kind = if frontend.listen { "listen" } else { "frontend" };
    if front.no_bind {
        cx.sink
            .warn(codes::NO_BIND, front.at, format!("the {kind} `{}` has no bind", frontend.name))
            .hint("no client can reach it; write `bind = [\":8080\"]`");
    }
    if !frontend.listen && front.leads_nowhere {
        cx.sink
            .warn(codes::NO_BACKEND, front.at, format!("the frontend `{}` has no backend", frontend.name))
            .hint("what it gets is answered with 503; write `default_backend = \"NAME\"`");
    }
}

/// Whether a listen without servers sends its requests to another backend.
fn elsewhere(built: &Built, name: &str) -> bool {
    built
        .frontends
        .iter()
        .any(|front| front.frontend.listen && *front.frontend.name == *name && !front.references.is_empty())
}
