//! Whatever a rule line says, compiling it ends in a rule or in mistakes that point into the line; and printing it in
//! canonical form changes nothing of what it says.

#![no_main]

use std::sync::Arc;

use evenkeel_acl::{AclDef, Acls, Env, Library, RuleKind, RuleLine, RuleSet, Scene, canonical};
use libfuzzer_sys::fuzz_target;

const REQUEST: &str = "GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nCookie: a=1; b=2\r\n\r\n";

fuzz_target!(|text: &str| {
    let library = Library::default();
    let env = Env { library: &library, proxy: "web" };
    let (acls, errors) = Acls::compile(&[AclDef { name: "a", text }], &env);
    for error in errors {
        assert!(text.get(error.range.clone()).is_some(), "{error:?}");
    }
    let file: Arc<str> = "fuzz.toml".into();
    for kind in RuleKind::ALL {
        let compiled = RuleSet::compile(kind, &[RuleLine { text, file: &file, line: 1 }], &acls, &env);
        match compiled {
            Err(errors) => {
                assert!(!errors.is_empty());
                for error in errors {
                    assert!(text.get(error.range.clone()).is_some(), "{error:?}");
                }
            }
            Ok(rules) => {
                if let Ok(printed) = canonical(text) {
                    let line = RuleLine { text: &printed, file: &file, line: 1 };
                    assert!(RuleSet::compile(kind, &[line], &acls, &env).is_ok(), "{text:?} became {printed:?}");
                    assert_eq!(canonical(&printed).as_deref(), Ok(&*printed));
                }
                let src = "192.0.2.1:1".parse().expect("an address");
                let mut scene = Scene::new(REQUEST, src, src).expect("a request");
                scene.with(|ctx| drop(rules.eval(ctx, &mut 0)));
            }
        }
    }
});
