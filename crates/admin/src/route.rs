//! Which door a request knocks at.
//!
//! Owns: [`Route`], a pure function of the request target. The page and its exports answer under every spelling that
//! tools use: `/`, `/stats`, `/haproxy?stats`, each with `;csv`, `;json`, `;norefresh` behind it, a slash before the `;`
//! (Telegraf) included. Unknown options are ignored, as HAProxy does; unknown paths are not.

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The stats page.
    Page {
        /// No auto-refresh.
        paused: bool,
        /// Show only what contains this.
        filter: String,
        /// Show every row.
        all: bool,
    },
    /// The CSV export.
    Csv,
    /// HAProxy's typed JSON.
    TypedJson,
    /// Our own JSON.
    Api,
    /// Prometheus metrics, with the query string.
    Metrics(String),
    /// Alive?
    Health,
    /// Ready for traffic?
    Ready,
    /// Nothing here.
    Unknown,
}

/// The paths that exist, for whoever asks for one that does not.
pub const DIRECTORY: &str = "\
/              stats page (also /stats and /haproxy?stats)
/;csv          statistics as CSV, HAProxy's columns
/;json         statistics as typed JSON, HAProxy's layout
/api/v1/stats  statistics as JSON
/metrics       Prometheus metrics (?names=evenkeel|haproxy, ?scope=global|frontend|backend|server|certificate|resolvers|resolver, ?metrics=NAME,-NAME, ?no-maint)
/healthz       200 while the process lives
/readyz        200 while it takes traffic, 503 with the reason otherwise
";

impl Route {
    /// The route of a request target in origin form.
    pub fn of(target: &str) -> Route {
        let (base, options) = target.split_once(';').unwrap_or((target, ""));
        let (path, query) = base.split_once('?').unwrap_or((base, ""));
        match path {
            "/healthz" => return Route::Health,
            "/readyz" => return Route::Ready,
            "/metrics" => return Route::Metrics(query.to_owned()),
            "/api/v1/stats" => return Route::Api,
            _ => {}
        }
        if !matches!(path.trim_end_matches('/'), "" | "/stats" | "/haproxy") || !path.starts_with('/') {
            return Route::Unknown;
        }
        let (mut paused, mut filter, mut all) = (false, String::new(), false);
        for option in options.split(';').chain(query.split('&')) {
            match option.split_once('=').unwrap_or((option.trim_end_matches('/'), "")) {
                ("csv", _) => return Route::Csv,
                ("json", _) => return Route::TypedJson,
                ("norefresh", _) => paused = true,
                ("all", _) => all = true,
                ("q" | "scope", text) => filter = decode(text),
                _ => {}
            }
        }
        Route::Page { paused, filter, all }
    }
}

/// Undoes form encoding; what is not valid stays as it is.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        let hex = |at: usize| tail.get(at).and_then(|&c| char::from(c).to_digit(16));
        match (b, hex(0), hex(1)) {
            (b'+', _, _) => out.push(b' '),
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits fit a byte.
                out.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(paused: bool, filter: &str, all: bool) -> Route {
        Route::Page { paused, filter: filter.into(), all }
    }

    #[test]
    fn every_spelling_that_tools_use() {
        for target in ["/", "/stats", "/stats/", "/haproxy?stats", "/haproxy?stats/", "/?", "/haproxy"] {
            assert_eq!(Route::of(target), page(false, "", false), "{target}");
        }
        for target in [
            "/;csv",
            "/stats;csv",
            "/stats/;csv",
            "/haproxy?stats;csv",
            "/haproxy?stats/;csv",
            "/haproxy?stats;csv;norefresh",
            "/;norefresh;csv",
        ] {
            assert_eq!(Route::of(target), Route::Csv, "{target}");
        }
        assert_eq!(Route::of("/haproxy?stats;json"), Route::TypedJson);
        assert_eq!(
            Route::of("/metrics?scope=global&names=haproxy"),
            Route::Metrics("scope=global&names=haproxy".into())
        );
        assert_eq!([Route::of("/healthz"), Route::of("/readyz?x")], [Route::Health, Route::Ready]);
        assert_eq!(Route::of("/api/v1/stats"), Route::Api);
    }

    #[test]
    fn options_of_the_page() {
        assert_eq!(Route::of("/?norefresh&q=app"), page(true, "app", false));
        assert_eq!(Route::of("/haproxy?stats;norefresh;scope=db"), page(true, "db", false));
        assert_eq!(Route::of("/?all&q=a%2Fb+c%C3%A9"), page(false, "a/b cé", true));
        assert_eq!(Route::of("/?q=%&st=DONE&up"), page(false, "%", false));
        assert_eq!(Route::of("/?q=%4"), page(false, "%4", false));
        assert_eq!(Route::of("/?q=%ff"), page(false, "\u{fffd}", false));
    }

    #[test]
    fn what_does_not_exist() {
        for target in ["/nothing", "/statsx", "*", "", "/healthz/", "//evil/..", "/metrics/"] {
            assert_eq!(Route::of(target), Route::Unknown, "{target}");
        }
    }
}
