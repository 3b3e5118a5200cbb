//! Whatever a crt-list says, each of its lines becomes an entry or a mistake with its number; what options it sets are names of
//! algorithms that are known or refused; and names in it are found again, and only those.

#![no_main]

use std::path::Path;

use evenkeel_tls::crt_list;
use evenkeel_tls::names::Filter;
use evenkeel_tls::options::BindTls;
use evenkeel_tls::policy;
use evenkeel_tls::problem::any_error;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut problems = Vec::new();
    let lines = crt_list::read(Path::new("list"), text, &BindTls::default(), &mut problems);
    let count = text.split(|byte| *byte == b'\n').count();
    assert!(lines.len() + problems.len() <= count);
    assert!(problems.iter().all(|problem| problem.line.is_some_and(|line| line as usize <= count)));
    for line in &lines {
        assert!(!problems.iter().any(|problem| problem.line == Some(line.number)));
        if let Some(settings) = &line.settings {
            let mut found = Vec::new();
            assert_eq!(policy::build(&settings.policy, &mut found).is_none(), any_error(&found));
        }
        for filter in &line.filters {
            if let Filter::Exact(name) | Filter::Wild(name) | Filter::Not(name) = filter {
                assert!(!name.is_empty() && !name.contains('*') && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
            }
        }
    }
});
