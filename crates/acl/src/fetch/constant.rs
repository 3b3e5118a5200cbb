//! Fetches of constants.

use std::ops::ControlFlow;

use crate::ctx::Ctx;
use crate::fetch::{SINCE_ACCEPT, Visit, fetch_table};
use crate::sample::Sample;
use crate::value::Value;
fetch_table! {
    "always_false" "always_false" [] Bool First SINCE_ACCEPT always_false,
        "Always false.", "always_false -m found";
    "always_true" "always_true" [] Bool First SINCE_ACCEPT always_true,
        "Always true.", "always_true";
}

fn always_true(_: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Bool(true))
}

fn always_false(_: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Bool(false))
}
