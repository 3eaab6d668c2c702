//! How files are written: one idea each, lines of a bearable width, no path of a
//! machine, no name of a file that is gone.

use super::{assert_none, files, read, root};

const LONGEST_FILE: usize = 500;

const WIDEST_LINE: usize = 110;

#[test]
fn a_file_holds_one_idea() {
    let mut wrong = Vec::new();
    for file in files(&root(), &["rs", "ts"]) {
        let lines = read(&file).lines().count();
        if lines > LONGEST_FILE {
            wrong.push(format!(
                "{} has {lines} lines: split it by idea",
                file.display()
            ));
        }
        if file.ends_with("mod.rs") {
            wrong.push(format!(
                "{} is a mod.rs: use foo.rs beside foo/",
                file.display()
            ));
        }
    }
    assert_none(&wrong);
}

/// rustfmt keeps code within its width, and leaves alone what it cannot break: comments and texts.
#[test]
fn lines_of_code_can_be_read_side_by_side() {
    let mut wrong = Vec::new();
    for file in files(&root(), &["rs"]) {
        for (number, line) in read(&file).lines().enumerate() {
            let width = line.chars().count();
            if width > WIDEST_LINE {
                let at = format!("{}:{}", file.display(), number + 1);
                wrong.push(format!("{at}: {width} columns"));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn no_file_names_somebodys_machine() {
    let homes = ["home", "root", "work", "Users"].map(|name| format!("/{name}/"));
    let mut wrong = Vec::new();
    for file in files(
        &root(),
        &["rs", "toml", "proto", "md", "py", "json", "yaml", "yml"],
    ) {
        for (number, line) in read(&file).lines().enumerate() {
            // A path begins a word; inside one, as in a URL, these are names like any other.
            let starts_a_word =
                |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.');
            if homes.iter().any(|home| {
                line.match_indices(home.as_str())
                    .any(|(at, _)| starts_a_word(at))
            }) {
                wrong.push(format!(
                    "{}:{}: {}",
                    file.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    assert_none(&wrong);
}

/// A document names a file by its path in backticks; [`super::book`] looks at links. Decisions describe the
/// state on their day and may name what is gone.
#[test]
fn documents_name_files_that_exist() {
    let docs = root().join("docs");
    let mut pages = files(&docs, &["md"]);
    pages.retain(|page| !page.starts_with(docs.join("decisions")));
    let top = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"];
    pages.extend(top.map(|name| root().join(name)));
    let mut wrong = Vec::new();
    for page in pages {
        let text = read(&page);
        let prose: String = text.split("```").step_by(2).collect();
        let in_backticks = prose.split('`').skip(1).step_by(2);
        let words = in_backticks.filter_map(|code| code.split_whitespace().next());
        let paths = words.filter(|word| {
            let folder = word.split_once('/').map_or("", |(folder, _)| folder);
            let is_ours = !["", "target"].contains(&folder) && root().join(folder).is_dir();
            is_ours && !word.contains('*')
        });
        let named = paths.map(|path| root().join(path));
        for path in named.filter(|path| !path.exists()) {
            wrong.push(format!("{}: {}", page.display(), path.display()));
        }
    }
    assert_none(&wrong);
}
