//! The documents are a book: `docs/SUMMARY.md` lists every page of it, for mdBook and for people. Each link
//! in a document of this repository leads to a file that exists, and to a heading of it if it names one.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{assert_none, files, read, root};

/// How a page of the book names a file outside of `docs`, which mdBook does not copy. Such links are checked
/// like relative ones.
const OURS: [&str; 2] = [
    "https://github.com/peersox/peersox/blob/main/",
    "https://github.com/peersox/peersox/tree/main/",
];

#[test]
fn the_summary_lists_every_page() {
    let docs = root().join("docs");
    assert!(read(&root().join("book.toml")).contains("src = \"docs\""));
    let summary = docs.join("SUMMARY.md");
    let listed: Vec<PathBuf> = links(&read(&summary))
        .iter()
        .map(|link| docs.join(link))
        .collect();
    let mut pages = files(&docs, &["md"]);
    pages.retain(|page| *page != summary);
    let mut wrong = Vec::new();
    for page in &pages {
        let times = listed.iter().filter(|it| *it == page).count();
        if times != 1 {
            wrong.push(format!("{} is listed {times} times", page.display()));
        }
    }
    let missing = listed.iter().filter(|it| !pages.contains(it));
    wrong.extend(missing.map(|it| format!("{} does not exist", it.display())));
    assert_none(&wrong);
}

#[test]
fn links_lead_to_files_and_headings() {
    let root = root();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for document in files(&root, &["md"]) {
        for link in links(&read(&document)) {
            if let Some(why) = broken(&root, &document, &link) {
                wrong.push(format!("{}: {link}: {why}", document.display()));
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} links were read");
    assert_none(&wrong);
}

/// Why a link leads nowhere; nothing if it leads somewhere, or to another site.
fn broken(root: &Path, document: &Path, link: &str) -> Option<&'static str> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let ours = OURS.iter().find_map(|prefix| path.strip_prefix(prefix));
    if ours.is_none() && (path.contains("://") || path.starts_with("mailto:")) {
        return None;
    }
    let target = match (ours, path) {
        (Some(path), _) => root.join(path),
        (None, "") => document.to_path_buf(),
        (None, path) => resolved(&document.parent()?.join(path)),
    };
    if !target.exists() {
        return Some("there is no such file");
    }
    let docs = root.join("docs");
    if document.starts_with(&docs) && ours.is_none() && !target.starts_with(&docs) {
        return Some("it leaves the book: name the file by its address");
    }
    if anchor.is_empty() {
        return None;
    }
    let is_document = target.extension().is_some_and(|ending| ending == "md");
    let is_there = is_document && anchors(&read(&target)).contains(anchor);
    (!is_there).then_some("there is no such heading")
}

/// A path without `.` and `..`, whether or not it exists.
fn resolved(path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                whole.pop();
            }
            part => whole.push(part),
        }
    }
    whole
}

/// Where the links and pictures of a document lead to, in the order of the text.
fn links(text: &str) -> Vec<String> {
    let prose: String = prose(text).split('`').step_by(2).collect();
    let mut found = Vec::new();
    for (mark, end) in [
        ("](", [')', ' ']),
        ("src=\"", ['"'; 2]),
        ("href=\"", ['"'; 2]),
    ] {
        let rests = prose.split(mark).skip(1);
        found.extend(rests.filter_map(|rest| rest.split(end).next()));
    }
    let lines = prose.lines().filter(|line| line.starts_with('['));
    found.extend(lines.filter_map(|line| Some(line.split_once("]: ")?.1.trim())));
    found.into_iter().map(str::to_owned).collect()
}

/// The names by which GitHub and mdBook let a link lead to a heading.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for line in prose(text).lines() {
        let Some((marks, heading)) = line.split_once(' ') else {
            continue;
        };
        if marks.is_empty() || !marks.trim_matches('#').is_empty() {
            continue;
        }
        let plain = without_addresses(heading.trim()).to_lowercase();
        let kept = plain.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c => c.is_alphanumeric().then_some(c),
        });
        let name: String = kept.collect();
        let repeated = (1..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.clone()).chain(repeated);
        all.extend(names.find(|it| !all.contains(it)));
    }
    all
}

/// A heading with what its links show instead of the links.
fn without_addresses(heading: &str) -> String {
    let mut parts = heading.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |shown, rest| {
        shown + rest.split_once(')').map_or("", |(_, rest)| rest)
    })
}

/// A document without its blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

#[test]
fn links_and_headings_are_recognised() {
    let text = "# The `code`, and [its words](a.md)\n\n[one](b.md#x) and ![two](c.png \"title\")\n\
                `[no](d.md)`\n```sh\n# no heading\n[no](e.md)\n```\n## Twice\n## Twice\n\
                <img src=\"f.svg\">\n\n[three]: g.md\n";
    assert_eq!(
        links(text),
        ["a.md", "b.md#x", "c.png", "f.svg", "g.md"].map(str::to_owned)
    );
    let named = ["the-code-and-its-words", "twice", "twice-1"];
    assert_eq!(anchors(text), named.map(str::to_owned).into());
    let root = root();
    let page = root.join("docs/words.md");
    for (link, is_broken) in [
        ("protocol.md", false),
        ("protocol.md#no-such-heading", true),
        ("no-such-page.md", true),
        ("../README.md", true),
        (
            "https://github.com/peersox/peersox/blob/main/README.md",
            false,
        ),
        (
            "https://github.com/peersox/peersox/tree/main/no-such-folder",
            true,
        ),
        ("https://example.org/no-such-page", false),
        ("#words", false),
    ] {
        assert_eq!(broken(&root, &page, link).is_some(), is_broken, "{link}");
    }
}
