//! Converters of numbers: arithmetic that saturates, bits, and truth.

use crate::conv::{conv_table, number};
use crate::ctx::Ctx;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const VALUE: Arg = Arg::one("value", ArgKind::IntOrVar);

conv_table! {
    "add" "add(<value>)" [VALUE] Int -> Int add,
        "The sum with a number or a variable; it stays at the greatest or smallest number rather than wrapping.",
        "dst_port,add(1000)";
    "and" "and(<value>)" [VALUE] Int -> Int and,
        "The bits it has in common with a number or a variable.", "src_port,and(1)";
    "bool" "bool" [] Int -> Bool truth,
        "True for every number but 0.", "src_port,and(1),bool";
    "cpl" "cpl" [] Int -> Int cpl,
        "All bits flipped.", "src_port,cpl";
    "div" "div(<value>)" [VALUE] Int -> Int div,
        "The quotient, rounded towards 0; divided by 0 it is the greatest number.", "dst_port,div(100)";
    "even" "even" [] Int -> Bool even,
        "True for an even number.", "src_port,even";
    "mod" "mod(<value>)" [VALUE] Int -> Int modulo,
        "The remainder, with the sign of the input; divided by 0 it is 0.", "src_port,mod(10)";
    "mul" "mul(<value>)" [VALUE] Int -> Int mul,
        "The product; it stays at the greatest or smallest number rather than wrapping.", "dst_port,mul(2)";
    "neg" "neg" [] Int -> Int neg,
        "The number with its sign changed: `neg,add(10)` subtracts the input from 10.", "dst_port,neg,add(65535)";
    "not" "not" [] Int -> Bool not,
        "True for 0 only.", "src_port,and(1),not";
    "odd" "odd" [] Int -> Bool odd,
        "True for an odd number.", "src_port,odd";
    "or" "or(<value>)" [VALUE] Int -> Int or,
        "The bits of both the input and a number or a variable.", "dst_port,or(1)";
    "sub" "sub(<value>)" [VALUE] Int -> Int sub,
        "The difference from a number or a variable; it stays at the greatest or smallest number rather than wrapping.",
        "dst_port,sub(1)";
    "xor" "xor(<value>)" [VALUE] Int -> Int xor,
        "The bits in which it differs from a number or a variable.", "dst_port,xor(255)";
}

/// Converters from the input and an operand.
macro_rules! operators {
    ($($name:ident |$a:ident, $b:ident| $value:expr;)*) => {$(
        fn $name<'a>(
            sample: Sample<'a>,
            args: &'a [Value],
            ctx: &'a Ctx<'_>,
            _: &'a mut Vec<u8>,
        ) -> Option<Sample<'a>> {
            let ($a, $b) = (sample.as_int()?, number(args, 0, ctx)?);
            Some(Sample::Int($value))
        }
    )*};
}

operators! {
    add |a, b| a.saturating_add(b);
    sub |a, b| a.saturating_sub(b);
    mul |a, b| a.saturating_mul(b);
    div |a, b| if b == 0 { i64::MAX } else { a.saturating_div(b) };
    modulo |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) };
    and |a, b| a & b;
    or |a, b| a | b;
    xor |a, b| a ^ b;
}

/// Converters from the input alone.
macro_rules! functions {
    ($($name:ident |$a:ident| $value:expr;)*) => {$(
        fn $name<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
            let $a = sample.as_int()?;
            Some($value)
        }
    )*};
}

functions! {
    neg |a| Sample::Int(a.saturating_neg());
    cpl |a| Sample::Int(!a);
    odd |a| Sample::Bool(a & 1 == 1);
    even |a| Sample::Bool(a & 1 == 0);
    truth |a| Sample::Bool(a != 0);
    not |a| Sample::Bool(a == 0);
}

#[cfg(test)]
mod tests {
    use crate::conv::testing::{check, check_with};
    use crate::sample::Sample;
    use crate::vars::VarRef;

    #[test]
    fn numbers_saturate_as_in_haproxy() {
        const MIN: i64 = i64::MIN;
        const MAX: i64 = i64::MAX;
        for (input, steps, expected) in [
            (5, "add(3)", "8"),
            (MAX, "add(1)", "9223372036854775807"),
            (MIN, "add(-1)", "-9223372036854775808"),
            (MIN, "sub(1)", "-9223372036854775808"),
            (MAX, "sub(-1)", "9223372036854775807"),
            (5, "sub(-9223372036854775808)", "9223372036854775807"),
            (-5, "sub(-9223372036854775808)", "9223372036854775803"),
            (MAX, "mul(2)", "9223372036854775807"),
            (-MAX, "mul(2)", "-9223372036854775808"),
            (-MAX, "mul(-2)", "9223372036854775807"),
            (MIN, "mul(-1)", "9223372036854775807"),
            (MIN, "div(-1)", "9223372036854775807"),
            (7, "div(0)", "9223372036854775807"),
            (-7, "div(0)", "9223372036854775807"),
            (7, "div(-2)", "-3"),
            (-7, "mod(2)", "-1"),
            (7, "mod(-2)", "1"),
            (7, "mod(0)", "0"),
            (MIN, "mod(-1)", "0"),
            (5, "neg", "-5"),
            (MIN, "neg", "9223372036854775807"),
            (6, "and(3)", "2"),
            (6, "or(3)", "7"),
            (6, "xor(3)", "5"),
            (6, "cpl", "-7"),
            (6, "odd", "0"),
            (-3, "odd", "1"),
            (6, "even", "1"),
            (6, "not", "0"),
            (0, "not", "1"),
            (2, "bool", "1"),
            (10, "neg,add(3),mul(2)", "-14"),
        ] {
            check(Sample::Int(input), steps, Some(expected));
        }
        for (text, expected) in [("abc", Some("1")), ("12abc", Some("13")), ("", None)] {
            check(Sample::Str(text.as_bytes()), "add(1)", expected);
        }
        check(Sample::Bool(true), "add(1)", Some("2"));
    }

    #[test]
    fn an_operand_may_be_a_variable() {
        check_with(
            |ctx| {
                for (name, value) in [("txn.n", Sample::Int(4)), ("txn.text", Sample::Str(b"12x"))] {
                    assert!(VarRef::parse(name).is_ok_and(|name| ctx.set_var(&name, &value)));
                }
            },
            &[
                (Sample::Int(3), "add(txn.n)", Some("7")),
                (Sample::Int(3), "mul(txn.text)", Some("36")),
                (Sample::Int(3), "add(txn.none)", None),
            ],
        );
    }
}
