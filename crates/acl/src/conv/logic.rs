//! Converters that choose and compare, and the mask of an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::conv::{conv_table, text};
use crate::ctx::{Count, Ctx, ProcessCount};
use crate::sample::{Sample, Scratch};
use crate::value::{Arg, ArgKind, Value};

const TRUE: Arg = Arg::one("true", ArgKind::Text);
const FALSE: Arg = Arg::one("false", ArgKind::Text);
const VAR: Arg = Arg::one("var", ArgKind::Var);
const MASK4: Arg = Arg::one("mask4", ArgKind::Mask4);
const MASK6: Arg = Arg::maybe("mask6", ArgKind::Mask6);
const CONDITION: Arg = Arg::one("condition", ArgKind::Word(&["error", "forwarded", "normal", "processed", "stopping"]));

conv_table! {
    "iif" "iif(<true>,<false>)" [TRUE, FALSE] Bool -> Str iif,
        "One text when the input is true, the other when it is false.", "dst_port,sub(443),iif(http,https)";
    "ipmask" "ipmask(<mask4>[,<mask6>])" [MASK4, MASK6] Ip -> Ip ipmask,
        "The network of the address. An IPv6 address is undefined unless the second mask is given; one that holds an IPv4 \
         address is taken as that.", "src,ipmask(24,64)";
    "strcmp" "strcmp(<var>)" [VAR] Str -> Int strcmp,
        "0 when the input equals the variable, less than 0 when it sorts before it, more when after; undefined when the \
         variable is not set.", "req.hdr(host),strcmp(txn.tag)";
    "when" "when(<condition>)" [CONDITION] Any -> Any when,
        "The input if the condition holds, else nothing. `error`: the transaction ended badly; `normal`: it did not; \
         `forwarded`: a server got it; `processed`: none did; `stopping`: the process is stopping.",
        "path,when(stopping)";
}

fn iif<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    Some(Sample::Str(Value::text(args, if sample.as_bool()? { 0 } else { 1 })))
}

fn ipmask<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (Some(Value::Mask4(mask4)), mask6) = (args.first(), args.get(1)) else { return None };
    Some(Sample::Ip(match sample.as_ip()?.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask4)),
        IpAddr::V6(ip) => match mask6 {
            Some(Value::Mask6(mask)) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask)),
            _ => return None,
        },
    }))
}

fn strcmp<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let input = text(sample)?;
    ctx.var(Value::var(args, 0)?, |stored| {
        let (sample, mut scratch) = (stored.sample(), Scratch::new());
        let other = sample.as_bytes(&mut scratch);
        // The difference of the first bytes that differ, as strcmp(3) gives it; of the lengths only the sign.
        let differ = input.iter().zip(other).find(|(a, b)| a != b);
        Sample::Int(match differ {
            Some((a, b)) => i64::from(*a) - i64::from(*b),
            None => input.len().cmp(&other.len()) as i64,
        })
    })
}

fn when<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let progress = &ctx.progress;
    // The first letter says who ended it, the second in which state: `--` is a good end, empty is none yet.
    let failed = progress.letters.bytes().take(2).any(|letter| letter != b'-');
    let holds = match Value::text(args, 0) {
        b"error" => failed,
        b"normal" => !failed,
        b"forwarded" => progress.server.is_some(),
        b"processed" => progress.server.is_none(),
        b"stopping" => ctx.world.count(Count::Process(ProcessCount::Stopping)) == Some(1),
        _ => false,
    };
    holds.then_some(sample)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use crate::conv::testing::{check, check_with, convert_in, refused};
    use crate::ctx::{Phase, ProcessCount};
    use crate::sample::Sample;
    use crate::testing::{REQUEST, scene};
    use crate::vars::VarRef;

    #[test]
    fn choices_and_comparisons_are_those_of_haproxy() {
        for (input, steps, expected) in [
            (Sample::Bool(true), "iif(a,b)", "a"),
            (Sample::Bool(false), "iif(a,b)", "b"),
            (Sample::Int(0), "iif(a,b)", "b"),
            (Sample::Int(3), "iif(a,b)", "a"),
            (Sample::Bool(true), "iif(,b)", ""),
            (Sample::Bool(false), "iif(a,)", ""),
        ] {
            check(input, steps, Some(expected));
        }
        refused(Sample::Bool(true), "iif(a)");
        let str = |text: &'static str| Sample::Str(text.as_bytes());
        check_with(
            |ctx| {
                for (name, value) in [("txn.abc", Sample::Str(b"abc")), ("txn.i", Sample::Int(7))] {
                    assert!(VarRef::parse(name).is_ok_and(|name| ctx.set_var(&name, &value)));
                }
            },
            &[
                (str("abc"), "strcmp(txn.abc)", Some("0")),
                (str("abd"), "strcmp(txn.abc)", Some("1")),
                (str("abz"), "strcmp(txn.abc)", Some("23")),
                (str("aba"), "strcmp(txn.abc)", Some("-2")),
                (str("abcde"), "strcmp(txn.abc)", Some("1")),
                (str("ab"), "strcmp(txn.abc)", Some("-1")),
                (str(""), "strcmp(txn.abc)", Some("-1")),
                (Sample::Bin(b"\xff"), "strcmp(txn.abc)", Some("158")),
                (str("abc"), "strcmp(txn.none)", None),
                (str("7"), "strcmp(txn.i)", Some("0")),
            ],
        );
    }

    #[test]
    fn addresses_are_masked() {
        for (ip, steps, expected) in [
            ("1.2.3.4", "ipmask(24)", Some("1.2.3.0")),
            ("1.2.3.4", "ipmask(255.255.0.0)", Some("1.2.0.0")),
            ("1.2.3.4", "ipmask(0)", Some("0.0.0.0")),
            ("1.2.3.4", "ipmask(32)", Some("1.2.3.4")),
            ("1.2.3.4", "ipmask(24,32)", Some("1.2.3.0")),
            ("2001:db8::1", "ipmask(24)", None),
            ("2001:db8::1", "ipmask(24,32)", Some("2001:db8::")),
            ("2001:db8::1", "ipmask(24,ffff::)", Some("2001::")),
            ("2001:db8::1", "ipmask(24,0)", Some("::")),
            ("::ffff:1.2.3.4", "ipmask(24)", Some("1.2.3.0")),
            ("::ffff:1.2.3.4", "ipmask(24,120)", Some("1.2.3.0")),
        ] {
            check(Sample::Ip(ip.parse::<IpAddr>().unwrap_or_else(|why| panic!("{why}"))), steps, expected);
            check(Sample::Str(ip.as_bytes()), steps, expected);
        }
        for steps in ["ipmask(33)", "ipmask(ffff::)", "ipmask(24,129)"] {
            refused(Sample::Str(b""), steps);
        }
    }

    #[test]
    fn conditions_of_the_end() {
        let mut scene = scene(REQUEST);
        let all = ["error", "normal", "forwarded", "processed", "stopping"];
        for (letters, server, stopping, expected) in [
            ("", false, 0, &["normal", "processed"][..]),
            ("--", true, 1, &["normal", "forwarded", "stopping"]),
            ("SH", true, 0, &["error", "forwarded"]),
            ("PR", false, 0, &["error", "processed"]),
        ] {
            scene.server = server.then(|| ("a1".into(), 1));
            scene.world.process.insert(ProcessCount::Stopping, stopping);
            let holding: Vec<&str> = scene.at(Phase::Done, |ctx| {
                ctx.progress.letters = letters;
                all.into_iter().filter(|c| convert_in(ctx, Sample::Int(1), &format!("when({c})")).is_some()).collect()
            });
            assert_eq!(holding, expected, "{letters}");
        }
    }
}
