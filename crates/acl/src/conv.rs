//! Converters: the table, and the functions behind it.
//!
//! A converter takes a sample of its input type and gives another; `None` is an undefined sample. Called through
//! [`Expr`](crate::expr::Expr). A new converter is one entry of a table in one of the modules below and its function.
#![allow(clippy::ptr_arg, reason = "every `prepare` has one type, and some add arguments")]

use std::sync::LazyLock;

use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::{Sample, Type};
use crate::value::{Arg, Value};

mod aes;
mod crypto;
mod cut;
pub(crate) mod encode;
pub(crate) mod hash;
mod http;
mod json;
mod jwe;
mod jws;
mod jwt;
mod live;
mod logic;
mod map;
mod math;
mod md5;
mod pem;
mod regsub;
mod strings;
mod table;
mod time;
pub(crate) mod var;
mod x509;

/// `run(sample, args, ctx, out)`: the sample is of the input type already; `out` is empty and may be written and returned.
pub(crate) type Run = for<'a> fn(Sample<'a>, &'a [Value], &'a Ctx<'_>, &'a mut Vec<u8>) -> Option<Sample<'a>>;
/// Looks at the compiled arguments once and may add to them what it prepared. The error is a sentence.
pub(crate) type Prepare = fn(&mut Vec<Value>, &Env<'_>) -> Result<(), String>;

/// One entry of the table of converters.
#[derive(Debug)]
pub struct Conv {
    /// Name.
    pub name: &'static str,
    /// Name with its arguments, for the reference.
    pub syntax: &'static str,
    /// Arguments, in order.
    pub args: &'static [Arg],
    /// Type it takes; other samples are cast to it.
    pub input: Type,
    /// Type it gives.
    pub output: Type,
    /// One sentence.
    pub doc: &'static str,
    /// A sample expression that uses it.
    pub example: &'static str,
    /// What it says of its arguments beyond their types.
    pub(crate) prepare: Option<Prepare>,
    pub(crate) run: Run,
}

/// Builds `pub(super) static TABLE: &[Conv]` of a module.
macro_rules! conv_table {
    ($($name:literal $syntax:literal [$($arg:expr),*] $input:ident -> $output:ident $run:path $(, prepare $prepare:path)?,
        $doc:literal, $example:literal;)*) => {
        pub(super) static TABLE: &[$crate::conv::Conv] = &[$($crate::conv::Conv {
            name: $name, syntax: $syntax, args: &[$($arg),*], input: $crate::sample::Type::$input,
            output: $crate::sample::Type::$output, doc: $doc, example: $example,
            prepare: $crate::conv::prepare!($($prepare)?), run: $run,
        }),*];
    };
}
macro_rules! prepare {
    () => {
        None
    };
    ($path:path) => {
        Some($path)
    };
}
pub(crate) use md5::md5;
pub use x509::{X509_ERRORS, x509_error};
pub(crate) use {conv_table, prepare};

static ALL: LazyLock<Vec<&'static Conv>> = LazyLock::new(|| {
    let tables = [
        aes::TABLE,
        crypto::TABLE,
        cut::TABLE,
        encode::TABLE,
        hash::TABLE,
        http::TABLE,
        json::TABLE,
        jwe::TABLE,
        jws::TABLE,
        jwt::TABLE,
        live::TABLE,
        logic::TABLE,
        map::TABLE,
        math::TABLE,
        regsub::TABLE,
        strings::TABLE,
        table::TABLE,
        time::TABLE,
        var::TABLE,
        x509::TABLE,
    ];
    let mut all: Vec<&'static Conv> = tables.into_iter().flatten().collect();
    all.sort_unstable_by_key(|conv| conv.name);
    all
});

/// Every converter, sorted by name.
pub fn convs() -> &'static [&'static Conv] {
    &ALL
}

/// The converter named `name`.
pub(crate) fn find(name: &str) -> Option<&'static Conv> {
    ALL.binary_search_by(|conv| conv.name.cmp(name)).ok().map(|at| ALL[at])
}

/// One converter of an expression.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) conv: &'static Conv,
    pub(crate) args: Vec<Value>,
}

/// Runs `steps` over `sample`, and hands what comes out to `visit`; nothing when a step gives nothing.
pub(crate) fn chain<R>(
    sample: Sample<'_>,
    steps: &[Step],
    ctx: &Ctx<'_>,
    visit: &mut dyn FnMut(Sample<'_>) -> R,
) -> Option<R> {
    let Some((step, rest)) = steps.split_first() else { return Some(visit(sample)) };
    // Most converters are given what they take.
    if matches!(step.conv.input, Type::Any) || step.conv.input == sample.kind() {
        return run(step, sample, rest, ctx, visit);
    }
    ctx.buffers.with(|cast| run(step, sample.cast(step.conv.input, cast)?, rest, ctx, visit))
}

fn run<R>(
    step: &Step,
    sample: Sample<'_>,
    rest: &[Step],
    ctx: &Ctx<'_>,
    visit: &mut dyn FnMut(Sample<'_>) -> R,
) -> Option<R> {
    ctx.buffers.with(|out| chain((step.conv.run)(sample, &step.args, ctx, out)?, rest, ctx, visit))
}

/// No converter makes more than this of an input that was smaller.
const OUTPUT: usize = 64 << 10;

/// What was made of `input`, unless it grew beyond bounds.
fn bounded<'a>(out: &'a [u8], input: &[u8]) -> Option<&'a [u8]> {
    (out.len() <= OUTPUT.max(input.len())).then_some(out)
}

/// The bytes of a sample that was cast to text or bytes.
fn text<'a>(sample: Sample<'a>) -> Option<&'a [u8]> {
    match sample {
        Sample::Str(text) | Sample::Bin(text) => Some(text),
        Sample::Bool(_) | Sample::Int(_) | Sample::Ip(_) => None,
    }
}

/// The number of argument `at`: given, or in a variable.
fn number(args: &[Value], at: usize, ctx: &Ctx<'_>) -> Option<i64> {
    match args.get(at)? {
        Value::Int(value) => Some(*value),
        Value::Var(name) => ctx.var(name, |stored| stored.sample().as_int())?,
        _ => None,
    }
}

/// What the tests of the tables share: a chain of converters applied to a sample.
#[cfg(test)]
mod testing {
    use super::*;
    use crate::expr::Expr;
    use crate::library::{CaptureSlot, Library};
    use crate::sample::Scratch;
    use crate::testing::{REQUEST, library, with_ctx};
    use crate::word::Word;

    /// Compiles `steps` behind a fetch of the type of `sample`; the error is a sentence.
    pub(super) fn compile_with(library: &Library, sample: Sample<'_>, steps: &str) -> Result<Expr, String> {
        let fetch = match sample.kind() {
            Type::Bool => "always_true",
            Type::Int => "src_port",
            Type::Ip => "src",
            Type::Str | Type::Bin | Type::Any => "path",
        };
        let text = format!("{fetch},{steps}");
        compile(library, &Word::literal(text.as_bytes(), 0..text.len()))
    }

    fn compile(library: &Library, word: &Word) -> Result<Expr, String> {
        let env = Env { library, proxy: "web" };
        Expr::parse_one(word, 0..word.bytes.len(), &env).map_err(|fault| fault.message)
    }

    /// `text` as it stands, and as the first word of a rule line.
    pub(super) fn compile_example(text: &str) -> [Result<Expr, String>; 2] {
        let words = crate::word::split(text).unwrap_or_default();
        let first = words.first().filter(|_| words.len() == 1).ok_or("it is not one word".to_owned());
        [
            compile(&default_library(), &Word::literal(text.as_bytes(), 0..text.len())),
            first.and_then(|word| compile(&default_library(), word)),
        ]
    }

    /// The library of the tests, with two capture slots.
    fn default_library() -> Library {
        let slot = CaptureSlot { len: 64 };
        let library = library();
        library.captures.borrow_mut().insert("web".into(), (vec![slot.clone(), slot.clone()], vec![slot]));
        library
    }

    /// The result as it is; text and bytes as UTF-8, wrong bytes replaced.
    pub(super) fn convert_with(library: &Library, ctx: &Ctx<'_>, sample: Sample<'_>, steps: &str) -> Option<String> {
        let expr = compile_with(library, sample, steps).unwrap_or_else(|why| panic!("{steps}: {why}"));
        chain(sample, expr.steps(), ctx, &mut |sample| {
            String::from_utf8_lossy(sample.as_bytes(&mut Scratch::new())).into_owned()
        })
    }

    pub(super) fn convert_in(ctx: &Ctx<'_>, sample: Sample<'_>, steps: &str) -> Option<String> {
        convert_with(&default_library(), ctx, sample, steps)
    }

    pub(super) fn convert(sample: Sample<'_>, steps: &str) -> Option<String> {
        with_ctx(REQUEST, |ctx| convert_in(ctx, sample, steps))
    }

    pub(super) fn check(sample: Sample<'_>, steps: &str, expected: Option<&str>) {
        assert_eq!(convert(sample, steps).as_deref(), expected, "{sample:?},{steps}");
    }

    pub(super) fn check_with(prepare: impl FnOnce(&mut Ctx<'_>), cases: &[(Sample<'_>, &str, Option<&str>)]) {
        with_ctx(REQUEST, |ctx| {
            prepare(ctx);
            for (sample, steps, expected) in cases {
                assert_eq!(convert_in(ctx, *sample, steps).as_deref(), *expected, "{sample:?},{steps}");
            }
        });
    }

    /// `steps` do not compile; why.
    pub(super) fn refused_with(library: &Library, sample: Sample<'_>, steps: &str) -> String {
        match compile_with(library, sample, steps) {
            Ok(_) => panic!("{steps} compiles"),
            Err(why) => why,
        }
    }

    pub(super) fn refused(sample: Sample<'_>, steps: &str) -> String {
        refused_with(&default_library(), sample, steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete() {
        assert!(convs().windows(2).all(|pair| pair[0].name < pair[1].name));
        for conv in convs() {
            assert!(conv.syntax.starts_with(conv.name) && conv.doc.ends_with('.'), "{}", conv.name);
            assert!(conv.example.contains(conv.name), "{}", conv.name);
            assert_eq!(conv.syntax.contains('('), !conv.args.is_empty(), "{}", conv.name);
        }
    }

    /// Every example compiles, as a word of a rule and inside `%[...]`, and gives the type that its last converter says, if
    /// it gives anything.
    #[test]
    fn examples_are_whole() {
        use crate::testing::{REQUEST, with_ctx};
        for conv in convs() {
            for expr in testing::compile_example(conv.example) {
                let expr = expr.unwrap_or_else(|why| panic!("{}: {why}", conv.example));
                assert!(expr.steps().iter().any(|step| step.conv.name == conv.name), "{}", conv.example);
                let last = expr.output();
                let kind = with_ctx(REQUEST, |ctx| expr.one(ctx, |sample| sample.kind()));
                assert!(kind.is_none_or(|kind| last == Type::Any || last == kind), "{}: {kind:?}", conv.example);
            }
        }
    }
}
