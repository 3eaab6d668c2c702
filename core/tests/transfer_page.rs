//! The hex examples of the page on transfers are the known answers of `tests/vectors`, which the
//! machines replay.

use std::path::Path;

use serde_json::Value;

#[test]
fn the_examples_of_the_page_are_the_known_answers() {
    let vectors: Value =
        serde_json::from_str(&read("tests/vectors/transfer.json").unwrap()).unwrap();
    let page = read("docs/protocol.md").unwrap();
    let spoken = &vectors["conversation"];
    for (name, expected) in [
        ("offer", &spoken[0]["hex"]),
        ("accept", &spoken[1]["hex"]),
        ("decline", &vectors["decline"]),
        ("chunk", &spoken[2]["hex"]),
        ("entry-end", &spoken[3]["hex"]),
        ("resumed-chunk", &spoken[4]["hex"]),
        ("end", &spoken[7]["hex"]),
        ("done", &spoken[8]["hex"]),
        ("cancel", &vectors["cancel"]),
    ] {
        let example = example(&page, name);
        assert_eq!(example.as_deref(), expected.as_str(), "transfer-{name}");
    }
}

/// The digits of a block that begins with ```` ```hex transfer-NAME ````, less what follows `;`.
fn example(page: &str, name: &str) -> Option<String> {
    let (_, block) = page.split_once(&format!("```hex transfer-{name}\n"))?;
    let (block, _) = block.split_once("```")?;
    let digits = block.lines().filter_map(|line| line.split(';').next());
    Some(
        digits
            .flat_map(str::chars)
            .filter(|digit| !digit.is_whitespace())
            .collect(),
    )
}

fn read(file: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(file)).ok()
}
