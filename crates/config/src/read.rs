//! Reads the files of a configuration: those named, those in directories, those included.
//!
//! Each file is read once. What cannot be read is reported with the place that asked for it, and the rest is still
//! checked.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::codes;
use crate::defaults::{MAX_FILE_SIZE, MAX_FILES};
use crate::{LoadOptions, Source, env};

/// The files, and what went wrong with the others.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// In reading order: an included file follows the one that includes it.
    pub sources: Vec<Source>,
    /// What could not be read.
    pub failures: Vec<Failure>,
    /// Whether includes were followed.
    pub includes: bool,
}

/// Something that could not be read.
#[derive(Debug)]
pub(crate) struct Failure {
    pub code: &'static str,
    pub message: String,
    /// The file at fault.
    pub file: Arc<str>,
    /// Index of the source and bytes of the include that asked for it; `None`: the caller did.
    pub asked: Option<(usize, Range<usize>)>,
}

/// Reads `paths` and all they include.
pub(crate) fn read(paths: &[PathBuf], opts: &LoadOptions<'_>) -> Read {
    let mut reader =
        Reader { read: Read { includes: true, ..Read::default() }, seen: HashSet::new(), open: Vec::new(), opts };
    for path in paths {
        reader.path(path);
    }
    reader.read
}

struct Reader<'a> {
    read: Read,
    /// Files read so far, by canonical path.
    seen: HashSet<PathBuf>,
    /// Files being read now, from the first to the innermost include.
    open: Vec<PathBuf>,
    opts: &'a LoadOptions<'a>,
}

/// Who asked for a file: the source and the bytes of its `include` value.
type Asked = Option<(usize, Range<usize>)>;

impl Reader<'_> {
    fn path(&mut self, path: &Path) {
        if path == Path::new("-") {
            let mut bytes = Vec::new();
            let done = io::stdin().lock().take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes);
            match done.map_err(|error| error.to_string()).and_then(|_| text(bytes)) {
                Ok(text) => self.source(Arc::from("<stdin>"), text, Path::new(".")),
                Err(error) => {
                    self.fail(codes::UNREADABLE, format!("cannot read the standard input: {error}"), path, None)
                }
            }
        } else if path.is_dir() {
            match matching(path, |name| name.ends_with(".toml")) {
                Ok(files) if files.is_empty() => {
                    self.fail(codes::UNREADABLE, "the directory holds no *.toml file".to_owned(), path, None);
                }
                Ok(files) => files.iter().for_each(|file| self.file(file, None)),
                Err(error) => {
                    self.fail(codes::UNREADABLE, format!("cannot read the directory: {error}"), path, None);
                }
            }
        } else {
            self.file(path, None);
        }
    }

    fn file(&mut self, path: &Path, asked: Asked) {
        let code = if asked.is_some() { codes::INCLUDE } else { codes::UNREADABLE };
        let canonical = match path.canonicalize() {
            Ok(canonical) => canonical,
            Err(error) => return self.fail(code, format!("cannot read {}: {error}", path.display()), path, asked),
        };
        if self.open.contains(&canonical) {
            let message = format!("{} includes itself", path.display());
            return self.fail(codes::INCLUDE_CYCLE, message, path, asked);
        }
        if !self.seen.insert(canonical.clone()) {
            return;
        }
        if self.read.sources.len() >= MAX_FILES {
            return self.fail(code, format!("more than {MAX_FILES} files"), path, asked);
        }
        let mut bytes = Vec::new();
        let done = File::open(path).and_then(|file| file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes));
        match done.map_err(|error| error.to_string()).and_then(|_| text(bytes)) {
            Ok(text) => {
                self.open.push(canonical);
                let folder = path.parent().unwrap_or(Path::new(""));
                self.source(Arc::from(path.display().to_string()), text, folder);
                self.open.pop();
            }
            Err(error) => self.fail(code, format!("cannot read {}: {error}", path.display()), path, asked),
        }
    }

    /// Keeps a source and reads what it includes.
    fn source(&mut self, name: Arc<str>, text: String, folder: &Path) {
        let index = self.read.sources.len();
        let text: Arc<str> = Arc::from(text);
        self.read.sources.push(Source { name, text: Arc::clone(&text) });
        for (pattern, span) in includes(&text, self.opts) {
            self.include(&folder.join(&pattern), (index, span));
        }
    }

    fn include(&mut self, path: &Path, asked: (usize, Range<usize>)) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.contains(['*', '?']) {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            match matching(folder, |file| fits(name.as_bytes(), file.as_bytes())) {
                Ok(files) => files.iter().for_each(|file| self.file(file, Some(asked.clone()))),
                // A pattern may match nothing; that its folder is not there yet is the commonest way.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let message = format!("cannot read the directory {}: {error}", folder.display());
                    self.fail(codes::INCLUDE, message, path, Some(asked));
                }
            }
        } else if path.is_dir() {
            match matching(path, |name| name.ends_with(".toml")) {
                Ok(files) => files.iter().for_each(|file| self.file(file, Some(asked.clone()))),
                Err(error) => self.fail(codes::INCLUDE, error.to_string(), path, Some(asked)),
            }
        } else {
            self.file(path, Some(asked));
        }
    }

    fn fail(&mut self, code: &'static str, message: String, path: &Path, asked: Asked) {
        self.read.failures.push(Failure { code, message, file: Arc::from(path.display().to_string()), asked });
    }
}

/// The values of a file's `include`, with their bytes. Values that are no text are reported when the file is checked.
fn includes(text: &str, opts: &LoadOptions<'_>) -> Vec<(String, Range<usize>)> {
    if memchr::memmem::find(text.as_bytes(), b"include").is_none() {
        return Vec::new();
    }
    let (document, _) = DeTable::parse_recoverable(text);
    let Some(value) = document.get_ref().get("include") else { return Vec::new() };
    let values = match value.get_ref() {
        DeValue::Array(values) => &values[..],
        _ => std::slice::from_ref(value),
    };
    let expanded = |text: &str| match env::expand(text, opts.env) {
        None => Some(text.to_owned()),
        Some(expanded) => expanded.ok(),
    };
    values
        .iter()
        .filter_map(|value| Some((expanded(value.get_ref().as_str()?)?, value.span())))
        .filter(|(pattern, _)| !pattern.is_empty())
        .collect()
}

/// The files of a directory whose name is wanted, in name order; hidden ones never.
fn matching(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with('.') && wanted(&name) && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a name fits a pattern of `*` and `?`; linear in practice, no recursion.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                n += 1;
            }
            Some(byte) if *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(format!("it is larger than {} MiB", MAX_FILE_SIZE >> 20));
    }
    String::from_utf8(bytes).map_err(|error| format!("it is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, want) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.tom", false),
            ("*.toml", ".toml", true),
            ("a?c*", "abc", true),
            ("a?c*", "abcdef", true),
            ("a?c*", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }
}
