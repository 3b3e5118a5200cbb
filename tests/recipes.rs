//! What is shipped to be copied works as it stands: each example passes `check --strict`, its `[[test]]` blocks included,
//! and each page about one shows the files as they are and what the program really prints.
//!
//! In a page, the fence behind `<!-- file: NAME -->` is that file of `examples/recipes`, and a `console` fence that
//! asks `evenkeel` about one of those files is run there. `EVENKEEL_BLESS=1` writes files and answers into the pages.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use evenkeel_testkit::binary;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every file below `folder` that ends so, sorted.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn evenkeel(args: &[&str], folder: &Path) -> Output {
    Command::new(binary()).args(args).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn every_example_passes_the_strict_check() {
    let examples = files(&root().join("examples"), "toml");
    assert!(examples.len() >= 16, "{examples:?}");
    for example in examples {
        let out = evenkeel(&["check", "--strict", example.to_str().unwrap()], &root());
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.is_empty(), "{}: {said}", example.display());
    }
}

#[test]
fn every_recipe_has_tests_and_they_hold() {
    let recipes = files(&root().join("examples/recipes"), "toml");
    assert!(recipes.len() >= 10, "{recipes:?}");
    for recipe in recipes {
        let out = evenkeel(&["test", "--json", "-c", recipe.to_str().unwrap()], &root());
        let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert!(out.status.success(), "{}: {report:#}", recipe.display());
        assert!(report["passed"].as_u64() >= Some(3), "{}: {report:#}", recipe.display());
    }
}

#[test]
fn every_recipe_has_its_page_and_its_line() {
    let pages = root().join("docs/recipes");
    let index = fs::read_to_string(pages.join("README.md")).unwrap();
    let names = |folder: &Path, ending: &str| -> BTreeSet<OsString> {
        files(folder, ending).iter().map(|path| path.file_stem().unwrap().to_owned()).collect()
    };
    let recipes = names(&root().join("examples/recipes"), "toml");
    let mut described = names(&pages, "md");
    assert!(described.remove::<std::ffi::OsStr>("README".as_ref()));
    assert_eq!(recipes, described, "a page for each file, a file for each page");
    for name in recipes.iter().map(|name| name.to_str().unwrap()) {
        assert!(index.contains(&format!("]({name}.md)")), "docs/recipes/README.md does not list {name}");
        let page = fs::read_to_string(pages.join(format!("{name}.md"))).unwrap();
        assert!(page.contains(&format!("<!-- file: {name}.toml -->")), "{name}.md does not show its file");
    }
}

#[test]
fn pages_show_the_files_and_the_answers_as_they_are() {
    let recipes = root().join("examples/recipes");
    let (mut shown, mut asked) = (0, 0);
    for page in files(&root().join("docs"), "md") {
        let found = fs::read_to_string(&page).unwrap();
        let want = filled(&found, &recipes, &mut shown, &mut asked);
        if found == want {
            continue;
        }
        if std::env::var_os("EVENKEEL_BLESS").is_some() {
            fs::write(&page, want).unwrap();
            continue;
        }
        let same = found.lines().zip(want.lines()).take_while(|(found, want)| found == want).count();
        let line = |text: &str| text.lines().nth(same).unwrap_or_default().to_owned();
        panic!(
            "{}:{} is out of date:\n- {}\n+ {}\nrun EVENKEEL_BLESS=1 cargo test -p evenkeel-tests --test recipes",
            page.display(),
            same + 1,
            line(&found),
            line(&want)
        );
    }
    assert!(shown >= 11 && asked >= 11, "{shown} files and {asked} answers");
}

/// The page with files and answers as they are now.
fn filled(page: &str, recipes: &Path, shown: &mut usize, asked: &mut usize) -> String {
    let mut out = String::new();
    let mut lines = page.lines();
    let mut file = None;
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        if let Some(name) = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->")) {
            file = Some(name);
            continue;
        }
        if !line.starts_with("```") {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match (file.take(), line) {
            (Some(name), _) => {
                let text = fs::read_to_string(recipes.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(text.ends_with('\n'), "{name} ends within a line");
                out.push_str(&text);
                *shown += 1;
            }
            (None, "```console") if block.iter().any(|line| asks(line, recipes)) => {
                for command in block.iter().filter(|line| asks(line, recipes)) {
                    out.push_str(command);
                    out.push('\n');
                    out.push_str(&answer(command.trim_start_matches("$ "), recipes));
                    *asked += 1;
                }
            }
            (None, _) => block.iter().for_each(|line| out.extend([*line, "\n"])),
        }
        out.push_str("```\n");
    }
    out
}

/// Whether `line` asks the program about a recipe.
fn asks(line: &str, recipes: &Path) -> bool {
    let mut words = line.split_whitespace();
    words.next() == Some("$")
        && words.next() == Some("evenkeel")
        && matches!(words.next(), Some("check" | "test" | "explain"))
        && words.any(|word| word.ends_with(".toml") && recipes.join(word).exists())
}

/// Everything that a shell shows of the command.
fn answer(command: &str, folder: &Path) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(binary().parent().unwrap().to_owned()).chain(std::env::split_paths(&path));
    let out = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .env("PATH", std::env::join_paths(folders).unwrap())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap()
}
