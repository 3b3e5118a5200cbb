//! `global.set-var` and `global.set-var-fmt`: variables of the process that the file sets, before any traffic.
//!
//! Compiled by config, applied by the supervisor at the start and at each reload, and by whoever describes a state without a
//! process. A line that an earlier configuration had already is not applied again: what traffic made of the variable stays.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::acl::Acls;
use crate::action::RuleKind;
use crate::ctx::{Now, Phase};
use crate::error::{Fault, RuleError, code};
use crate::library::Env;
use crate::rules::{RuleLine, RuleSet};
use crate::scene::Scene;
use crate::vars::{ProcVars, VarRef, VarScope};

/// The variables that a file sets, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartVars(Vec<StartVar>);

#[derive(Clone, Debug, PartialEq)]
struct StartVar {
    name: VarRef,
    /// The line and its keyword.
    text: Arc<str>,
    rule: RuleSet,
}

impl StartVars {
    /// Compiles one more line, `proc.name <expr>`, or `proc.name <fmt>` when it is a text with items; an error's range is of
    /// that line.
    pub fn add(&mut self, line: &RuleLine<'_>, format: bool, env: &Env<'_>) -> Result<(), Vec<RuleError>> {
        let text = line.text.trim_start();
        let before = line.text.len() - text.len();
        let length = text.find(char::is_whitespace).unwrap_or(text.len());
        let (name, value) = text.split_at(length);
        let at = before..before + length;
        let bad = |why: String| {
            let fault = Fault::new(code::ACTION_ARGS, at.clone(), why);
            vec![fault.hint("write the variable, then what it is set to: `proc.site str(main)`").at(0)]
        };
        let var = VarRef::parse(name).map_err(bad)?;
        if var.scope != VarScope::Proc {
            return Err(bad(format!("`{name}` would be lost: only variables of scope proc are there at the start")));
        }
        let head = if format { "set-var-fmt(" } else { "set-var(" };
        let full = format!("{head}{name}){value}");
        let rule = RuleLine { text: &full, file: line.file, line: line.line };
        // What is known when a connection was accepted is at least not of a request.
        let rule = RuleSet::compile(RuleKind::TcpConnection, &[rule], &Acls::default(), env).map_err(|errors| {
            let back = |pos: usize| {
                let pos = pos.saturating_sub(head.len());
                before + if pos > length { pos - 1 } else { pos }
            };
            errors
                .into_iter()
                .map(|e| RuleError { range: back(e.range.start)..back(e.range.end), ..e })
                .collect::<Vec<_>>()
        })?;
        self.0.push(StartVar { name: var, text: full.into(), rule });
        Ok(())
    }

    /// Sets them in `vars`, but for those that `earlier` had already. Gives the index of each line that has no value.
    pub fn apply(&self, earlier: Option<&StartVars>, now: Now, hostname: &str, vars: &ProcVars) -> Vec<usize> {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let Ok(mut scene) = Scene::new("GET / HTTP/1.0\r\n\r\n", nowhere, nowhere) else { return Vec::new() };
        scene.session.src = None;
        scene.session.dst = None;
        scene.session.real = (None, None);
        scene.now = now;
        scene.world.hostname = hostname.to_owned();
        scene.world.vars = vars.copy();
        let mut without = Vec::new();
        for (index, line) in self.0.iter().enumerate() {
            if earlier.is_some_and(|earlier| earlier.0.iter().any(|known| known.text == line.text)) {
                continue;
            }
            scene.world.vars.unset(&line.name);
            // It can neither answer nor wait.
            let _ = scene.at(Phase::Accept, |ctx| line.rule.eval(ctx, &mut 0));
            let set = scene.world.vars.read(&line.name, |value| vars.set(&line.name, &value.sample()));
            if set.is_none() {
                without.push(index);
            }
        }
        without
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::env;
    use crate::vars::Stored;

    fn compile(lines: &[(&str, bool)]) -> Result<StartVars, RuleError> {
        let mut all = StartVars::default();
        for (text, format) in lines {
            let line = RuleLine { text, file: &"a.toml".into(), line: 1 };
            all.add(&line, *format, &env()).map_err(|mut errors| errors.swap_remove(0))?;
        }
        Ok(all)
    }

    fn get(vars: &ProcVars, name: &str) -> Option<Stored> {
        vars.read(&VarRef::parse(name).unwrap(), Stored::clone)
    }

    #[test]
    fn lines_are_applied_in_order_and_once() {
        let first = compile(&[
            ("proc.limit int(5)", false),
            ("proc.twice var(proc.limit),mul(2)", false),
            ("proc.name 'at %[hostname]: %[var(proc.twice)]'", true),
            ("proc.none src", false),
        ])
        .unwrap();
        let vars = ProcVars::default();
        let now = Now { mono_ms: 1, unix_us: 1 };
        assert_eq!(first.apply(None, now, "node1", &vars), [3]);
        assert_eq!(get(&vars, "proc.twice"), Some(Stored::Int(10)));
        assert_eq!(get(&vars, "proc.name"), Some(Stored::Str(b"at node1: 10".to_vec())));
        assert_eq!(get(&vars, "proc.none"), None);
        // Traffic changes one; a reload sets only what is new.
        let limit = VarRef::parse("proc.limit").unwrap();
        vars.set(&limit, &crate::sample::Sample::Int(7));
        let second = compile(&[("proc.limit int(5)", false), ("proc.new str(x)", false)]).unwrap();
        second.apply(Some(&first), now, "node1", &vars);
        assert_eq!(
            (get(&vars, "proc.limit"), get(&vars, "proc.new")),
            (Some(Stored::Int(7)), Some(Stored::Str(b"x".to_vec())))
        );
    }

    #[test]
    fn mistakes_point_into_the_line() {
        for (text, at) in [
            ("txn.a int(1)", "txn.a"),
            ("a int(1)", "a"),
            ("proc.a intt(1)", "intt"),
            ("  proc.a path", "path"),
            ("proc.a int(1) b", "b"),
        ] {
            let error = compile(&[(text, false)]).unwrap_err();
            assert_eq!(&text[error.range.clone()], at, "{text}: {}", error.message);
        }
    }
}
