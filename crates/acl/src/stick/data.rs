//! What a table stores with each key: the words of `store`, their places in a record and what the reference says of them.
//!
//! [`DATA`] is the one list: parsing, printing, the layout of a record and the generated reference read it. A test keeps it
//! in the order of [`Kind`].

use std::fmt;

/// Longest period of a rate, and longest `expire`, in milliseconds: HAProxy's, a little above 24 days.
pub const MAX_PERIOD: u64 = i32::MAX as u64;

/// Most elements of `gpc(n)`, `gpc_rate(n,period)` and `gpt(n)`.
pub const MAX_ELEMENTS: u16 = 100;

macro_rules! data {
    ($($kind:ident $name:literal $args:ident $form:ident $unit:literal $doc:literal,)*) => {
        /// A type of stored data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = $doc] $kind,)*
        }

        /// Every type of stored data, in the order of [`Kind`].
        pub const DATA: &[DataKind] = &[
            $(DataKind { kind: Kind::$kind, name: $name, args: Args::$args, form: Form::$form, unit: $unit, doc: $doc },)*
        ];
    };
}

data! {
    ServerId "server_id" None Count "id" "Number of the server a `stick` rule remembers.",
    ServerKey "server_key" None Count "name" "Name or address of the server a `stick` rule remembers.",
    ConnCnt "conn_cnt" None Count "connections" "Connections that were tracked.",
    ConnCur "conn_cur" None Count "connections" "Connections tracked at this moment.",
    ConnRate "conn_rate" Period Rate "connections per period" "Rate of tracked connections.",
    SessCnt "sess_cnt" None Count "sessions" "Connections that passed the `tcp-request connection` rules.",
    SessRate "sess_rate" Period Rate "sessions per period" "Rate of sessions.",
    HttpReqCnt "http_req_cnt" None Count "requests" "HTTP requests, valid or not.",
    HttpReqRate "http_req_rate" Period Rate "requests per period" "Rate of HTTP requests.",
    HttpErrCnt "http_err_cnt" None Count "requests" "HTTP errors of the client: invalid, denied, or answered with 4xx.",
    HttpErrRate "http_err_rate" Period Rate "requests per period" "Rate of HTTP errors of the client.",
    HttpFailCnt "http_fail_cnt" None Count "requests" "HTTP failures of the server: 5xx other than 501 and 505.",
    HttpFailRate "http_fail_rate" Period Rate "requests per period" "Rate of HTTP failures of the server.",
    BytesInCnt "bytes_in_cnt" None Wide "bytes" "Bytes received from the client.",
    BytesInRate "bytes_in_rate" Period WideRate "bytes per period" "Rate of bytes received from the client.",
    BytesOutCnt "bytes_out_cnt" None Wide "bytes" "Bytes sent to the client.",
    BytesOutRate "bytes_out_rate" Period WideRate "bytes per period" "Rate of bytes sent to the client.",
    GlitchCnt "glitch_cnt" None Count "glitches" "Protocol oddities of the client's connection.",
    GlitchRate "glitch_rate" Period Rate "glitches per period" "Rate of protocol oddities.",
    Gpc0 "gpc0" None Count "" "First general purpose counter.",
    Gpc1 "gpc1" None Count "" "Second general purpose counter.",
    Gpc0Rate "gpc0_rate" Period Rate "increments per period" "Rate at which `gpc0` is incremented.",
    Gpc1Rate "gpc1_rate" Period Rate "increments per period" "Rate at which `gpc1` is incremented.",
    Gpc "gpc" Elements Count "" "Array of general purpose counters; excludes `gpc0` and `gpc1`.",
    GpcRate "gpc_rate" ElementsPeriod Rate "increments per period" "Array of rates of the counters; excludes `gpc0_rate` and `gpc1_rate`.",
    Gpt0 "gpt0" None Count "" "General purpose tag.",
    Gpt "gpt" Elements Count "" "Array of general purpose tags; excludes `gpt0`.",
}

/// One type of stored data, as the reference shows it.
#[derive(Clone, Copy, Debug)]
pub struct DataKind {
    /// Which it is.
    pub kind: Kind,
    /// The word of `store`.
    pub name: &'static str,
    /// What stands in its parentheses.
    pub args: Args,
    /// How it is kept.
    pub form: Form,
    /// What its value counts; empty where the user decides.
    pub unit: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

impl DataKind {
    /// How it is written in `store`.
    pub fn syntax(&self) -> String {
        format!("{}{}", self.name, self.args.syntax())
    }
}

/// What stands in the parentheses of a data type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Args {
    /// Nothing.
    None,
    /// A period.
    Period,
    /// The number of elements.
    Elements,
    /// The number of elements and a period.
    ElementsPeriod,
}

impl Args {
    fn syntax(self) -> &'static str {
        match self {
            Args::None => "",
            Args::Period => "(period)",
            Args::Elements => "(n)",
            Args::ElementsPeriod => "(n,period)",
        }
    }
}

/// How a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// 32 bits; stays at its greatest value rather than beginning anew.
    Count,
    /// 64 bits.
    Wide,
    /// Events per period, 32 bits a window.
    Rate,
    /// Events per period, 64 bits a window.
    WideRate,
}

impl Form {
    /// Words of 32 bits one element takes.
    pub(super) fn words(self) -> usize {
        match self {
            Form::Count => 1,
            Form::Wide => 2,
            Form::Rate => 4,
            Form::WideRate => 6,
        }
    }

    pub(super) fn is_rate(self) -> bool {
        matches!(self, Form::Rate | Form::WideRate)
    }
}

impl Kind {
    /// Its entry in [`DATA`].
    pub fn info(self) -> &'static DataKind {
        &DATA[self as usize]
    }

    /// The data type of that name.
    pub fn named(name: &str) -> Option<Kind> {
        DATA.iter().find(|info| info.name == name).map(|info| info.kind)
    }

    /// The older names an array stands for: a table has one or the other.
    pub(super) fn excludes(self) -> &'static [Kind] {
        match self {
            Kind::Gpc => &[Kind::Gpc0, Kind::Gpc1],
            Kind::GpcRate => &[Kind::Gpc0Rate, Kind::Gpc1Rate],
            Kind::Gpt => &[Kind::Gpt0],
            _ => &[],
        }
    }
}

/// One data type as a table stores it: `http_req_rate(10s)`, `gpc(4)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// Which.
    pub kind: Kind,
    /// Number of elements: 1 unless it is an array.
    pub elements: u16,
    /// Period of a rate in milliseconds, otherwise 0.
    pub period: u32,
}

impl Data {
    /// Reads one word of `store`. The error says what is wrong and what to write.
    pub fn parse(word: &str) -> Result<Data, String> {
        let (name, args) = match word.split_once('(') {
            None => (word, None),
            Some((name, rest)) => match rest.strip_suffix(')') {
                Some(args) => (name, Some(args)),
                None => return Err(format!("`{word}` lacks its closing parenthesis")),
            },
        };
        let Some(kind) = Kind::named(name.trim()) else {
            let names: Vec<_> = DATA.iter().map(|info| info.name).collect();
            return Err(format!("`{}` is not a data type; there are {}", name.trim(), names.join(", ")));
        };
        let info = kind.info();
        let wanted = || format!("write `{}`", info.syntax());
        let args: Vec<&str> = args.map(|args| args.split(',').map(str::trim).collect()).unwrap_or_default();
        let (elements, period) = match (info.args, args.as_slice()) {
            (Args::None, []) => (1, 0),
            (Args::None, _) => return Err(format!("`{}` takes no argument", info.name)),
            (Args::Period, [period]) => (1, parse_period(period)?),
            (Args::Period, []) => return Err(format!("`{}` needs a period: write `{}(10s)`", info.name, info.name)),
            (Args::Elements, [n]) => (parse_elements(n)?, 0),
            (Args::ElementsPeriod, [n, period]) => (parse_elements(n)?, parse_period(period)?),
            (Args::Period | Args::Elements | Args::ElementsPeriod, _) => {
                return Err(format!("`{word}` has the wrong number of arguments: {}", wanted()));
            }
        };
        Ok(Data { kind, elements, period })
    }

    /// Words of 32 bits it takes in a record.
    pub(super) fn words(&self) -> usize {
        self.kind.info().form.words() * usize::from(self.elements)
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.kind.info();
        let period = Period(self.period);
        match info.args {
            Args::None => f.write_str(info.name),
            Args::Period => write!(f, "{}({period})", info.name),
            Args::Elements => write!(f, "{}({})", info.name, self.elements),
            Args::ElementsPeriod => write!(f, "{}({},{period})", info.name, self.elements),
        }
    }
}

/// Selects one value of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataSel {
    /// Which data type.
    pub kind: Kind,
    /// Which element of an array, from 0.
    pub index: u16,
}

impl DataSel {
    /// Element `index` of `kind`.
    pub const fn nth(kind: Kind, index: u16) -> DataSel {
        DataSel { kind, index }
    }
}

impl From<Kind> for DataSel {
    fn from(kind: Kind) -> DataSel {
        DataSel { kind, index: 0 }
    }
}

/// A period in its largest whole unit.
struct Period(u32);

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
        match units.iter().find(|(size, _)| self.0 >= *size && self.0.is_multiple_of(*size)) {
            Some((size, unit)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}ms", self.0),
        }
    }
}

/// Milliseconds, rounded up.
fn parse_period(text: &str) -> Result<u32, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let micros: u64 = match unit {
        "us" => 1,
        "ms" => 1000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        "" if !number.is_empty() => {
            return Err(format!("the period `{text}` has no unit: write `{text}ms` or `{text}s`"));
        }
        _ => return Err(format!("`{text}` is not a period: write a number and one of us, ms, s, m, h, d")),
    };
    let number: u64 = match number.parse() {
        Ok(number) => number,
        Err(_) if number.is_empty() => return Err(format!("the period `{text}` lacks its number")),
        Err(_) => return Err(format!("the period `{text}` is too long: at most 24d")),
    };
    let millis = number.checked_mul(micros).map(|micros| micros.div_ceil(1000)).filter(|ms| *ms <= MAX_PERIOD);
    match millis.and_then(|ms| u32::try_from(ms).ok()) {
        Some(0) => Err("a period must be longer than 0".to_owned()),
        Some(ms) => Ok(ms),
        None => Err(format!("the period `{text}` is too long: at most 24d")),
    }
}

fn parse_elements(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(n) if (1..=MAX_ELEMENTS).contains(&n) => Ok(n),
        _ => Err(format!("`{text}` is not a number of elements: from 1 to {MAX_ELEMENTS}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_kinds() {
        for (at, info) in DATA.iter().enumerate() {
            assert_eq!(info.kind as usize, at, "{}", info.name);
            assert_eq!(info.form.is_rate(), matches!(info.args, Args::Period | Args::ElementsPeriod), "{}", info.name);
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for info in DATA {
            let elements = if matches!(info.args, Args::Elements | Args::ElementsPeriod) { 7 } else { 1 };
            let periods: &[u32] =
                if info.form.is_rate() { &[1, 1500, 10_000, 60_000, 7_200_000, 86_400_000] } else { &[0] };
            for &period in periods {
                let data = Data { kind: info.kind, elements, period };
                assert_eq!(Data::parse(&data.to_string()), Ok(data));
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        for (word, part) in [
            ("http_req_rate", "http_req_rate(10s)"),
            ("http_req_rate(10)", "`10s`"),
            ("http_req_rate(10x)", "one of us"),
            ("http_req_rate(0s)", "longer than 0"),
            ("http_req_rate(25d)", "at most 24d"),
            ("http_req_rate(99999999999999999999s)", "at most 24d"),
            ("http_req_rate(s)", "lacks its number"),
            ("http_req_rate(10s", "closing parenthesis"),
            ("http_req_rate(1s,2s)", "http_req_rate(period)"),
            ("gpc", "gpc(n)"),
            ("gpc(0)", "from 1 to 100"),
            ("gpc(101)", "from 1 to 100"),
            ("gpc_rate(3)", "gpc_rate(n,period)"),
            ("conn_cnt(1)", "takes no argument"),
            ("requests", "http_req_cnt"),
        ] {
            let error = Data::parse(word).unwrap_err();
            assert!(error.contains(part), "{word}: {error}");
        }
        assert_eq!(Data::parse("conn_rate(1us)").unwrap().period, 1);
        assert_eq!(Data::parse("gpc_rate(3, 1m)").unwrap(), Data { kind: Kind::GpcRate, elements: 3, period: 60_000 });
    }
}
