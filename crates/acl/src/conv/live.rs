//! Converters that look up a proxy or server by the name in the sample: a result of a map, a cookie.

use crate::conv::{conv_table, text};
use crate::ctx::{BackendCount, Count, Ctx, FrontendCount, ServerCount};
use crate::sample::Sample;
use crate::value::Value;

conv_table! {
    "fe_exists" "fe_exists" [] Str -> Bool fe_exists,
        "True when a frontend has that name.", "req.hdr(host),fe_exists";
    "nbsrv" "nbsrv" [] Str -> Int nbsrv,
        "The usable servers of the backend of that name; undefined when there is none.", "req.hdr(host),nbsrv";
    "srv_is_up" "srv_is_up" [] Str -> Bool srv_is_up,
        "True when the server of that name takes requests: `backend/server`, or a server of the backend in use; undefined \
         when there is none.", "req.hdr(x-debug-id),srv_is_up";
    "srv_queue" "srv_queue" [] Str -> Int srv_queue,
        "The requests that wait for the server of that name: `backend/server`, or a server of the backend in use; \
         undefined when there is none.", "req.hdr(x-debug-id),srv_queue";
}

fn name<'a>(sample: Sample<'a>) -> Option<&'a str> {
    std::str::from_utf8(text(sample)?).ok()
}

fn fe_exists<'a>(sample: Sample<'a>, _: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let count = name(sample).and_then(|name| ctx.world.count(Count::Frontend(name, FrontendCount::Connections)));
    Some(Sample::Bool(count.is_some()))
}

fn nbsrv<'a>(sample: Sample<'a>, _: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    ctx.world.count(Count::Backend(name(sample)?, BackendCount::UsableServers)).map(Sample::Int)
}

fn server(sample: Sample<'_>, what: ServerCount, ctx: &Ctx<'_>) -> Option<i64> {
    let name = name(sample)?;
    let (backend, server) = match name.split_once('/') {
        Some(parts) => parts,
        None => (ctx.progress.backend?, name),
    };
    ctx.world.count(Count::Server(backend, server, what))
}

fn srv_is_up<'a>(sample: Sample<'a>, _: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    server(sample, ServerCount::Up, ctx).map(|up| Sample::Bool(up != 0))
}

fn srv_queue<'a>(sample: Sample<'a>, _: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    server(sample, ServerCount::Queue, ctx).map(Sample::Int)
}

#[cfg(test)]
mod tests {
    use crate::conv::testing::convert_in;
    use crate::ctx::{BackendCount, FrontendCount, Phase, ServerCount};
    use crate::sample::Sample;
    use crate::testing::{REQUEST, scene};

    #[test]
    fn names_are_looked_up() {
        let mut scene = scene(REQUEST);
        scene.world.frontends.insert(("web".into(), FrontendCount::Connections), 0);
        scene.world.backends.insert(("app".into(), BackendCount::UsableServers), 2);
        scene.world.servers.insert(("app".into(), "a1".into(), ServerCount::Queue), 3);
        scene.world.servers.insert(("app".into(), "a1".into(), ServerCount::Up), 0);
        scene.backend = Some(("app".into(), 3));
        for (input, step, expected) in [
            ("web", "fe_exists", Some("1")),
            ("app", "fe_exists", Some("0")),
            ("app", "nbsrv", Some("2")),
            ("web", "nbsrv", None),
            ("app/a1", "srv_queue", Some("3")),
            ("a1", "srv_queue", Some("3")),
            ("a2", "srv_queue", None),
            ("none/a1", "srv_queue", None),
            ("a1", "srv_is_up", Some("0")),
            ("\u{e9}/", "srv_is_up", None),
        ] {
            let found = scene.at(Phase::Request, |ctx| convert_in(ctx, Sample::Str(input.as_bytes()), step));
            assert_eq!(found.as_deref(), expected, "{input},{step}");
        }
        scene.backend = None;
        assert_eq!(scene.at(Phase::Request, |ctx| convert_in(ctx, Sample::Str(b"a1"), "srv_queue")), None);
    }
}
