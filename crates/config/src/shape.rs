//! Checks the tables of a file against the key tables and keeps what fits, typed and with its place.
//!
//! Knows every key, type, unit and range, and nothing of what they mean. A value that does not fit is reported and left
//! out, so the builder never sees it and nothing is told twice.

use std::borrow::Cow;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::LoadOptions;
use crate::codes;
use crate::diagnostic::Sink;
use crate::env::{self, EnvError};
use crate::keys::{Key, Kind, Sections, Table, Type};
use crate::nearest::did_you_mean;
use crate::place::{At, Files};
use crate::units::{self, BadUnit, show_duration, show_size};

/// A table whose keys and values fit.
#[derive(Debug)]
pub(crate) struct Node<'d> {
    /// Where it stands: its header's name, or the key it is the value of.
    pub at: At,
    /// Its keys in file order.
    pub entries: Vec<Entry<'d>>,
    /// Known keys with something wrong in their value, which is reported; empty for one that is not known.
    pub faulty: Vec<&'static str>,
}

/// One key with its value.
#[derive(Debug)]
pub(crate) struct Entry<'d> {
    /// The key as written.
    pub name: &'d str,
    /// Its place.
    pub key_at: At,
    /// Its entry in the key table; `None` under a free name.
    pub key: Option<&'static Key>,
    /// Its value.
    pub value: Val<'d>,
}

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Val<'d> {
    pub at: At,
    pub data: Data<'d>,
}

/// A value that fits its key.
#[derive(Debug)]
pub(crate) enum Data<'d> {
    Bool(bool),
    Int(i64),
    Time(Duration),
    Size(u64),
    Text(Cow<'d, str>),
    List(Vec<Val<'d>>),
    Table(Node<'d>),
}

impl<'d> Node<'d> {
    /// The entry of `name`.
    pub fn entry(&self, name: &str) -> Option<&Entry<'d>> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Whether the file sets `name` to something, usable or not; an empty list is nothing.
    pub fn gives(&self, name: &str) -> bool {
        let usable = |entry: &Entry<'_>| !matches!(&entry.value.data, Data::List(values) if values.is_empty());
        self.faulty.contains(&name) || self.entry(name).is_some_and(usable)
    }

    /// The value at a dotted path: `timeout.client`.
    pub fn find(&self, path: &str) -> Option<&Val<'d>> {
        match path.split_once('.') {
            None => self.entry(path).map(|entry| &entry.value),
            Some((first, rest)) => self.entry(first)?.value.table()?.find(rest),
        }
    }
}

impl<'d> Val<'d> {
    /// `true` or `false`.
    pub fn bool(&self) -> Option<bool> {
        if let Data::Bool(value) = self.data { Some(value) } else { None }
    }

    /// A whole number.
    pub fn int(&self) -> Option<i64> {
        if let Data::Int(value) = self.data { Some(value) } else { None }
    }

    /// A duration.
    pub fn time(&self) -> Option<Duration> {
        if let Data::Time(value) = self.data { Some(value) } else { None }
    }

    /// A size in bytes.
    pub fn size(&self) -> Option<u64> {
        if let Data::Size(value) = self.data { Some(value) } else { None }
    }

    /// A text.
    pub fn text(&self) -> Option<&str> {
        if let Data::Text(value) = &self.data { Some(value) } else { None }
    }

    /// The values of a list.
    pub fn list(&self) -> &[Val<'d>] {
        if let Data::List(values) = &self.data { values } else { &[] }
    }

    /// A table.
    pub fn table(&self) -> Option<&Node<'d>> {
        if let Data::Table(node) = &self.data { Some(node) } else { None }
    }
}

/// Checks values of one file.
pub(crate) struct Shaper<'s, 'd> {
    /// Index of the file.
    pub file: usize,
    /// All files.
    pub files: &'s Files<'d>,
    /// Where mistakes go.
    pub sink: &'s mut Sink,
    /// The environment.
    pub opts: &'s LoadOptions<'s>,
    /// The kind of section being read.
    pub section: Sections,
}

impl<'d> Shaper<'_, 'd> {
    /// The place of something in this file.
    pub fn at<T>(&self, spanned: &Spanned<T>) -> At {
        At::new(self.file, spanned.span())
    }

    /// Checks one table; `skip` says which keys the caller deals with itself.
    pub fn table(
        &mut self,
        table: &'static Table,
        found: &'d DeTable<'d>,
        at: At,
        skip: &dyn Fn(&str) -> bool,
    ) -> Node<'d> {
        let mut entries = Vec::with_capacity(found.len());
        let mut faulty = Vec::new();
        for (name, value) in found.iter().filter(|(name, _)| !skip(name.get_ref())) {
            let key_at = self.at(name);
            let Some(key) = self.known(table, name.get_ref(), key_at) else {
                faulty.push("");
                continue;
            };
            let before = self.sink.count();
            if let Some(value) = self.value(&key.kind, value, key_at, key.name) {
                entries.push(Entry { name: name.get_ref(), key_at, key: Some(key), value });
            }
            if self.sink.count() > before {
                faulty.push(key.name);
            }
        }
        for key in table.keys.iter().filter(|key| key.required && !found.contains_key(key.name)) {
            self.sink
                .error(codes::MISSING_KEY, at, format!("the {} has no `{}`", table.name, key.name))
                .hint(format!("write {}", key.example));
        }
        Node { at, entries, faulty }
    }

    /// The entry of a key that may stand here; anything else is reported.
    fn known(&mut self, table: &'static Table, name: &str, at: At) -> Option<&'static Key> {
        let kind = self.section;
        let section = kind.names().next().filter(|_| kind != Sections::ANY).unwrap_or_default();
        let (place, full) = match table.name {
            "proxy" => (format!("[{section}]"), name.to_owned()),
            "global" => ("[global]".to_owned(), name.to_owned()),
            other => (format!("`{other}`"), format!("{other}.{name}")),
        };
        if let Some(key) = table.key(name) {
            if key.sections.meets(kind) {
                return Some(key);
            }
            let homes = key.sections.names().map(|n| format!("[{n}]")).collect::<Vec<_>>().join(", ");
            self.sink
                .error(codes::WRONG_SECTION, at, format!("`{full}` has no place in a {section}"))
                .hint(format!("it can stand in {homes}"));
        } else if let Some((_, hint)) = table.renamed.iter().find(|(from, _)| *from == name) {
            self.sink.error(codes::RENAMED, at, format!("`{name}` is written otherwise here")).hint(*hint);
        } else if table.later.contains(&name) {
            self.sink
                .error(codes::LATER, at, format!("`{full}` is not in this version"))
                .hint("remove it; it would have no effect");
        } else {
            let candidates = table.keys.iter().filter(|key| key.sections.meets(kind)).map(|key| key.name);
            let hint = did_you_mean(name, candidates)
                .or_else(|| did_you_mean(name, table.renamed.iter().map(|(from, _)| *from)))
                .or_else(|| did_you_mean(name, table.later.iter().copied()));
            self.sink.error(codes::UNKNOWN_KEY, at, format!("unknown key `{name}` in {place}")).maybe_hint(hint);
        }
        None
    }

    /// Checks one value; `name` is the key it belongs to.
    pub fn value(
        &mut self,
        kind: &'static Kind,
        found: &'d Spanned<DeValue<'d>>,
        key_at: At,
        name: &str,
    ) -> Option<Val<'d>> {
        let at = self.at(found);
        if at.start == at.end {
            // The parser put it there to go on after a syntax error, which is reported already.
            return None;
        }
        let data = match (kind, found.get_ref()) {
            (Kind::Any(kinds), value) => match kinds.iter().find(|kind| kind.takes(type_of(value))) {
                Some(kind) => return self.value(kind, found, key_at, name),
                None => return self.converted(kind, found, name),
            },
            (Kind::Many(one), DeValue::Array(values)) if !one.takes(Type::Array) => {
                // Each bad element is reported; the list stays a list, so that an empty one can be told from none.
                Data::List(values.iter().filter_map(|value| self.value(one, value, key_at, name)).collect())
            }
            (Kind::Many(one), DeValue::Table(entries)) if self.is_named(one, entries, at, name) => return None,
            (Kind::Many(one), value) if one.takes(type_of(value)) => {
                Data::List(self.value(one, found, key_at, name).into_iter().collect())
            }
            (Kind::Bool, DeValue::Boolean(value)) => Data::Bool(*value),
            (Kind::Int(min, max), DeValue::Integer(value)) => self.int(value, *min, *max, at, name)?,
            (Kind::Permission, DeValue::Integer(value)) => self.permission(value, at)?,
            (Kind::Size(min, max, bare), DeValue::Integer(value)) => {
                self.bare_size(value, (*min, *max), *bare, at, name)?
            }
            (Kind::Entries(min, max), DeValue::Integer(value)) => {
                let count = u64::from_str_radix(value.as_str(), value.radix()).ok();
                self.entries(count, (*min, *max), at, name)?
            }
            (Kind::Entries(min, max), DeValue::String(text)) => {
                let text = self.text(text, at)?;
                match text.parse().or_else(|_| units::size(&text)) {
                    Ok(count) => self.entries(Some(count), (*min, *max), at, name)?,
                    Err(BadUnit::TooLarge) => self.entries(None, (*min, *max), at, name)?,
                    Err(_) => {
                        self.sink
                            .error(codes::BAD_SIZE, at, format!("`{name}` is not a number of entries"))
                            .hint("write a whole number, or one with k or m: 5000, \"100k\"");
                        return None;
                    }
                }
            }
            (Kind::Time(..), DeValue::Integer(value)) => {
                let error = self.sink.error(codes::NO_UNIT, at, format!("`{name}` needs a unit"));
                error.maybe_hint(value.as_str().parse().ok().map(with_unit));
                return None;
            }
            (Kind::Time(min, max), DeValue::String(text)) => {
                let text = self.text(text, at)?;
                self.time(&text, (*min, *max), at, name)?
            }
            (Kind::Size(min, max, _), DeValue::String(text)) => {
                let text = self.text(text, at)?;
                self.size(&text, (*min, *max), at, name)?
            }
            (Kind::Word(words, later), DeValue::String(text)) => {
                let text = self.text(text, at)?;
                self.word(text, words, later, kind, at, name)?
            }
            (Kind::Text(_), DeValue::String(text)) => {
                let text = self.text(text, at)?;
                if text.is_empty() {
                    self.sink.error(codes::BAD_TEXT, at, format!("`{name}` is empty"));
                    return None;
                }
                Data::Text(text)
            }
            (Kind::Table(table), DeValue::Table(found)) => Data::Table(self.table(table, found, at, &|_| false)),
            (Kind::Named(kind), DeValue::Table(found)) => {
                let mut entries = Vec::with_capacity(found.len());
                for (name, value) in found {
                    let key_at = self.at(name);
                    if let Some(value) = self.value(kind, value, key_at, name.get_ref()) {
                        entries.push(Entry { name: name.get_ref(), key_at, key: None, value });
                    }
                }
                Data::Table(Node { at: key_at, entries, faulty: Vec::new() })
            }
            _ => return self.converted(kind, found, name),
        };
        Some(Val { at, data })
    }

    /// Whether someone wrote a table by name, `server.app1 = "10.0.0.11:8080"`, where a list is wanted; if so it is reported.
    fn is_named(&mut self, one: &'static Kind, entries: &DeTable<'_>, at: At, name: &str) -> bool {
        let Some(table) = one.table() else { return false };
        let known = |key: &str| {
            table.key(key).is_some() || table.renamed.iter().any(|(from, _)| *from == key) || table.later.contains(&key)
        };
        let Some((first, value)) = entries.iter().next() else { return false };
        if table.key("name").is_none() || entries.keys().any(|key| known(key.get_ref())) {
            return false;
        }
        let rest = match value.get_ref() {
            DeValue::String(address) => format!("address = \"{address}\""),
            DeValue::Table(_) => "...".to_owned(),
            _ => return false,
        };
        self.sink
            .error(codes::WRONG_TYPE, at, format!("`{name}` takes a list, not a table by name"))
            .hint(format!("write {name} = [{{ name = \"{}\", {rest} }}]", first.get_ref()));
        true
    }

    /// A value of another type than asked for: text out of the environment may stand for a number or a switch.
    fn converted(&mut self, kind: &'static Kind, found: &'d Spanned<DeValue<'d>>, name: &str) -> Option<Val<'d>> {
        let at = self.at(found);
        if let DeValue::String(raw) = found.get_ref()
            && raw.contains("${")
            && [Type::Boolean, Type::Integer].into_iter().any(|wanted| kind.takes(wanted))
        {
            let text = self.text(raw, at)?;
            if kind.takes(Type::Boolean)
                && let Ok(value) = text.parse()
            {
                return Some(Val { at, data: Data::Bool(value) });
            }
            if let Kind::Int(min, max) = kind
                && let Ok(value) = text.parse()
            {
                let data = self.ranged(value, *min, *max, at, name)?;
                return Some(Val { at, data });
            }
            self.sink.error(
                codes::WRONG_TYPE,
                at,
                format!("`{name}` takes {}, and this expands to \"{text}\"", kind.expected()),
            );
            return None;
        }
        let hint = match found.get_ref() {
            DeValue::String(text) if kind.takes(Type::Integer) && text.parse::<i64>().is_ok() => {
                Some(format!("write {text} without quotes"))
            }
            DeValue::String(text) if kind.takes(Type::Boolean) => match text.as_ref() {
                "true" | "yes" | "on" | "enabled" => Some("write true without quotes".to_owned()),
                "false" | "no" | "off" | "disabled" => Some("write false without quotes".to_owned()),
                _ => None,
            },
            DeValue::Integer(_) | DeValue::Boolean(_) if kind.takes(Type::String) => {
                Some("put quotes around it".to_owned())
            }
            _ => None,
        };
        self.sink
            .error(
                codes::WRONG_TYPE,
                at,
                format!("`{name}` takes {}, not {}", kind.expected(), type_in_words(found.get_ref())),
            )
            .maybe_hint(hint);
        None
    }

    /// A text with the environment put in and no control characters.
    fn text(&mut self, raw: &'d Cow<'d, str>, at: At) -> Option<Cow<'d, str>> {
        let text = match env::expand(raw, self.opts.env) {
            None => Cow::Borrowed(raw.as_ref()),
            Some(Ok(text)) => Cow::Owned(text),
            Some(Err(errors)) => {
                for error in errors {
                    match error {
                        EnvError::Unset(range, name) => self
                            .sink
                            .error(
                                codes::ENV_UNSET,
                                self.files.inside(at, raw, range),
                                format!("the environment variable {name} is not set"),
                            )
                            .hint(format!("set it, or give a default: ${{{name}:-value}}")),
                        EnvError::Malformed(range) => self
                            .sink
                            .error(
                                codes::ENV_MALFORMED,
                                self.files.inside(at, raw, range),
                                "this is no environment variable",
                            )
                            .hint("write ${NAME} or ${NAME:-default}; a literal ${ is $${"),
                    }
                }
                return None;
            }
        };
        // Tab is harmless and common in copied rules.
        if let Some((index, bad)) = text.char_indices().find(|(_, c)| c.is_control() && *c != '\t') {
            let place = self.files.inside(at, &text, index..index + bad.len_utf8());
            self.sink.error(
                codes::BAD_TEXT,
                place,
                format!("the text holds the control character {}", bad.escape_unicode()),
            );
            return None;
        }
        Some(text)
    }

    fn int(&mut self, value: &DeInteger<'_>, min: i64, max: i64, at: At, name: &str) -> Option<Data<'d>> {
        match i64::from_str_radix(value.as_str(), value.radix()) {
            Ok(value) => self.ranged(value, min, max, at, name),
            Err(_) => {
                self.out_of_range(format!("{min} to {max}"), at, name);
                None
            }
        }
    }

    fn ranged(&mut self, value: i64, min: i64, max: i64, at: At, name: &str) -> Option<Data<'d>> {
        if (min..=max).contains(&value) {
            return Some(Data::Int(value));
        }
        self.out_of_range(format!("{min} to {max}"), at, name);
        None
    }

    fn out_of_range(&mut self, range: String, at: At, name: &str) {
        self.sink.error(codes::OUT_OF_RANGE, at, format!("`{name}` is out of range: {range}"));
    }

    fn permission(&mut self, value: &DeInteger<'_>, at: At) -> Option<Data<'d>> {
        let bits = i64::from_str_radix(value.as_str(), value.radix()).ok();
        match bits.filter(|bits| value.radix() == 8 && (0..=0o777).contains(bits)) {
            Some(bits) => Some(Data::Int(bits)),
            None => {
                let digits = value.as_str();
                let octal = digits.len() == 3 && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
                let example = if value.radix() == 10 && octal { digits } else { "660" };
                self.sink
                    .error(codes::BAD_PERMISSION, at, "permission bits are written in octal, 0o000 to 0o777")
                    .hint(format!("write 0o{example}"));
                None
            }
        }
    }

    fn bare_size(
        &mut self,
        value: &DeInteger<'_>,
        (min, max): (u64, u64),
        bare: bool,
        at: At,
        name: &str,
    ) -> Option<Data<'d>> {
        let bytes = u64::from_str_radix(value.as_str(), value.radix()).ok();
        if !bare {
            let error = self.sink.error(codes::NO_UNIT, at, format!("`{name}` needs a unit"));
            if let Some(bytes) = bytes {
                error.hint(format!("write \"{}\"", show_size(bytes)));
            }
            return None;
        }
        match bytes.filter(|bytes| (min..=max).contains(bytes)) {
            Some(bytes) => Some(Data::Size(bytes)),
            None => {
                self.out_of_range(format!("{} to {}", show_size(min), show_size(max)), at, name);
                None
            }
        }
    }

    fn entries(&mut self, count: Option<u64>, (min, max): (u64, u64), at: At, name: &str) -> Option<Data<'d>> {
        match count.filter(|count| (min..=max).contains(count)) {
            Some(count) => Some(Data::Size(count)),
            None => {
                self.out_of_range(format!("{min} to {max}"), at, name);
                None
            }
        }
    }

    fn time(&mut self, text: &str, (min, max): (Duration, Duration), at: At, name: &str) -> Option<Data<'d>> {
        match units::duration(text) {
            Ok(time) if (min..=max).contains(&time) => return Some(Data::Time(time)),
            Ok(_) | Err(BadUnit::TooLarge) => {
                self.out_of_range(format!("\"{}\" to \"{}\"", show_duration(min), show_duration(max)), at, name);
            }
            Err(BadUnit::NoUnit) => {
                let hint = text.parse().map_or_else(|_| "units are us, ms, s, m, h and d".to_owned(), with_unit);
                self.sink.error(codes::NO_UNIT, at, format!("`{name}` needs a unit")).hint(hint);
            }
            Err(BadUnit::Decimal) => self
                .sink
                .error(codes::BAD_DURATION, at, format!("`{name}` takes whole numbers only"))
                .hint("write \"1500ms\" for one and a half seconds"),
            Err(BadUnit::Unknown) => self
                .sink
                .error(codes::BAD_DURATION, at, format!("`{name}` is not a duration"))
                .hint("write a number and a unit, us, ms, s, m, h or d: \"30s\", \"1m30s\""),
        }
        None
    }

    fn size(&mut self, text: &str, (min, max): (u64, u64), at: At, name: &str) -> Option<Data<'d>> {
        match units::size(text) {
            Ok(bytes) if (min..=max).contains(&bytes) => return Some(Data::Size(bytes)),
            Ok(_) | Err(BadUnit::TooLarge) => {
                self.out_of_range(format!("\"{}\" to \"{}\"", show_size(min), show_size(max)), at, name);
            }
            Err(BadUnit::NoUnit) => {
                self.sink
                    .error(codes::NO_UNIT, at, format!("`{name}` needs a unit"))
                    .hint(format!("write \"{text}b\" for bytes or \"{text}k\" for kibibytes"));
            }
            Err(BadUnit::Decimal | BadUnit::Unknown) => self
                .sink
                .error(codes::BAD_SIZE, at, format!("`{name}` is not a size"))
                .hint("write a whole number and a unit, b, k, m or g: \"16k\""),
        }
        None
    }

    fn word(
        &mut self,
        text: Cow<'d, str>,
        words: &'static [&'static str],
        later: &'static [&'static str],
        kind: &Kind,
        at: At,
        name: &str,
    ) -> Option<Data<'d>> {
        if words.contains(&text.as_ref()) {
            return Some(Data::Text(text));
        }
        if later.contains(&text.as_ref()) {
            self.sink
                .error(codes::LATER, at, format!("`{name} = \"{text}\"` is not in this version"))
                .hint(format!("it takes {}", kind.expected()));
        } else {
            self.sink
                .error(codes::UNKNOWN_WORD, at, format!("`{name}` takes {}, not \"{text}\"", kind.expected()))
                .maybe_hint(did_you_mean(&text, words.iter().copied()));
        }
        None
    }
}

/// A bare number is milliseconds in haproxy.cfg, and seconds to most people; what was meant shows in its size.
fn with_unit(number: u64) -> String {
    match number {
        1000.. if number.is_multiple_of(1000) => {
            format!("write \"{}s\"; a bare number in haproxy.cfg is milliseconds", number / 1000)
        }
        _ => format!("write \"{number}s\", or \"{number}ms\" for the milliseconds of haproxy.cfg"),
    }
}

/// The TOML type of a value.
pub(crate) fn type_of(value: &DeValue<'_>) -> Type {
    match value {
        DeValue::String(_) => Type::String,
        DeValue::Integer(_) => Type::Integer,
        DeValue::Boolean(_) => Type::Boolean,
        DeValue::Array(_) => Type::Array,
        DeValue::Table(_) => Type::Table,
        DeValue::Float(_) | DeValue::Datetime(_) => Type::Other,
    }
}

/// The TOML type of a value, for a message.
pub(crate) fn type_in_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
