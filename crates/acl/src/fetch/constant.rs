//! Fetches of constants.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::ctx::Ctx;
use crate::fetch::{SINCE_ACCEPT, Visit, fetch_table, give};
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const BOOLS: &[&str] = &["true", "false", "1", "0"];

fetch_table! {
    "always_false" "always_false" [] Bool First SINCE_ACCEPT |_, _, visit| visit(Sample::Bool(false)),
        "Always false.", "always_false -m found";
    "always_true" "always_true" [] Bool First SINCE_ACCEPT |_, _, visit| visit(Sample::Bool(true)),
        "Always true.", "always_true";
    "bin" "bin(<hex>)" [Arg::one("hex", ArgKind::Str)] Bin First SINCE_ACCEPT bin, prepare parse_hex,
        "The bytes written in hexadecimal.", "bin(0aff) -m found";
    "bool" "bool(<value>)" [Arg::one("value", ArgKind::Word(BOOLS))] Bool First SINCE_ACCEPT
        |_, args, visit| visit(Sample::Bool(matches!(Value::text(args, 0), b"true" | b"1"))),
        "True for `true` and `1`, false for `false` and `0`.", "bool(true)";
    "int" "int(<number>)" [Arg::one("number", ArgKind::Int)] Int First SINCE_ACCEPT
        |_, args, visit| give(Value::int(args, 0).map(Sample::Int), visit),
        "The number.", "int(42) 42";
    "ipv4" "ipv4(<address>)" [Arg::one("address", ArgKind::Str)] Ip First SINCE_ACCEPT ip, prepare parse_ipv4,
        "The IPv4 address.", "ipv4(192.0.2.1) 192.0.2.0/24";
    "ipv6" "ipv6(<address>)" [Arg::one("address", ArgKind::Str)] Ip First SINCE_ACCEPT ip, prepare parse_ipv6,
        "The IPv6 address.", "ipv6(2001:db8::1) 2001:db8::/32";
    "meth" "meth(<method>)" [Arg::one("method", ArgKind::Str)] Str First SINCE_ACCEPT
        |_, args, visit| visit(Sample::Str(Value::text(args, 0))),
        "The name of the method.", "meth(GET) GET";
    "str" "str(<text>)" [Arg::one("text", ArgKind::Text)] Str First SINCE_ACCEPT
        |_, args, visit| visit(Sample::Str(Value::text(args, 0))),
        "The text.", "str(abc) abc";
}

fn bin(_: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    give(Value::ready::<Vec<u8>>(args, 1).map(|bytes| Sample::Bin(bytes)), visit)
}

fn parse_hex(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    let text = Value::text(args, 0);
    let bytes: Option<Vec<u8>> = text
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => {
                let digit = |byte: u8| (byte as char).to_digit(16);
                u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
            }
            _ => None,
        })
        .collect();
    let bytes = bytes.ok_or_else(|| format!("`{}` is no hexadecimal", String::from_utf8_lossy(text)))?;
    args.push(Value::Ready(Arc::new(bytes)));
    Ok(())
}

fn ip(_: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    give(Value::ready(args, 1).map(|ip| Sample::Ip(*ip)), visit)
}

fn parse_ipv4(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    parse_ip::<Ipv4Addr>(args, "IPv4")
}

fn parse_ipv6(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    parse_ip::<Ipv6Addr>(args, "IPv6")
}

fn parse_ip<T: std::str::FromStr + Into<std::net::IpAddr>>(args: &mut Vec<Value>, kind: &str) -> Result<(), String> {
    let text = String::from_utf8_lossy(Value::text(args, 0)).into_owned();
    let ip: std::net::IpAddr = text.parse::<T>().map_err(|_| format!("`{text}` is no {kind} address"))?.into();
    args.push(Value::Ready(Arc::new(ip)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::ctx::Phase;
    use crate::testing::{REQUEST, refused, scene, show};

    #[test]
    fn constants_are_what_they_say() {
        let mut scene = scene(REQUEST);
        for (text, expected) in [
            ("always_true", "1"),
            ("always_false", "0"),
            ("bool(true)", "1"),
            ("bool(0)", "0"),
            ("int(-5)", "-5"),
            ("str(abc)", "abc"),
            ("str(\\ a)", " a"),
            ("bin(0aFF)", "0AFF"),
            ("ipv4(1.2.3.4)", "1.2.3.4"),
            ("ipv6(::1)", "::1"),
            ("meth(FOO)", "FOO"),
        ] {
            assert_eq!(show(&mut scene, Phase::Accept, text), expected, "{text}");
        }
        for text in ["bool(yes)", "int(x)", "bin(0)", "bin(0g)", "ipv4(::1)", "ipv6(1.2.3.4)", "meth()", "str"] {
            assert!(refused(text), "{text}");
        }
    }
}
