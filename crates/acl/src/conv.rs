//! Converters: the table, and the functions behind it.
//!
//! A converter takes a sample of its input type and gives another; `None` is an undefined sample. Called through
//! [`Expr`](crate::expr::Expr). A new converter is one entry of a table in one of the modules below and its function.

use std::ops::Range;
use std::sync::LazyLock;

use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::{Sample, Type};
use crate::value::{Arg, Value};

mod strings;

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
pub(crate) use {conv_table, prepare};

static ALL: LazyLock<Vec<&'static Conv>> = LazyLock::new(|| {
    let mut all: Vec<&'static Conv> = [strings::TABLE].into_iter().flatten().collect();
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
    /// Where it stands in its word, for messages.
    pub(crate) at: Range<usize>,
}

/// Runs `steps` over `sample`, and hands what comes out to `visit`; nothing when a step gives nothing.
pub(crate) fn chain<R>(
    sample: Sample<'_>,
    steps: &[Step],
    ctx: &Ctx<'_>,
    visit: &mut dyn FnMut(Sample<'_>) -> R,
) -> Option<R> {
    let Some((step, rest)) = steps.split_first() else { return Some(visit(sample)) };
    ctx.buffers.with(|cast| {
        let sample = sample.cast(step.conv.input, cast)?;
        ctx.buffers.with(|out| chain((step.conv.run)(sample, &step.args, ctx, out)?, rest, ctx, visit))
    })
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
}
