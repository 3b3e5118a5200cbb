//! Whatever a pattern file holds, it loads or is refused with a line; every index over it answers, before and after edits.

#![no_main]

use evenkeel_acl::Sample;
use evenkeel_acl::pattern::{Kind, Shape, Stores};
use libfuzzer_sys::fuzz_target;

const KINDS: [Kind; 10] = [
    Kind::Str,
    Kind::Beg,
    Kind::End,
    Kind::Sub,
    Kind::Dir,
    Kind::Dom,
    Kind::Reg,
    Kind::Ip,
    Kind::Int,
    Kind::Bin,
];

fuzz_target!(|input: (&[u8], &[u8], &[u8])| {
    let (file, probe, edit) = input;
    for shape in [Shape::Keys, Shape::Pairs] {
        let stores = Stores::default();
        let lines = file.split(|&b| b == b'\n').count();
        let store = match stores.load("/fuzz.lst", shape, &|_| Ok(file.to_vec())) {
            Ok(store) => store,
            Err(why) => {
                assert!(why.line.is_none_or(|line| (1..=lines).contains(&line)), "{why}");
                continue;
            }
        };
        for kind in KINDS {
            for fold in [false, true] {
                let Ok(view) = store.view(kind, fold) else { continue };
                let found = view.find(&Sample::Str(probe), |_| ()).is_some();
                assert_eq!(view.matches(&Sample::Str(probe)), found);
            }
        }
        let _ = store.put(edit, probe);
        let _ = store.get(edit);
        store.del(edit);
    }
});
