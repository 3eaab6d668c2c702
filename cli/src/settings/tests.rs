//! What is read of a file, what is wrong with one, and the sample.

use super::*;

fn wrong(text: &str) -> (usize, String) {
    let (span, why) = read(text).unwrap_err();
    (line(text, &span), why)
}

#[test]
fn what_is_wrong_with_a_file_is_told_by_line_and_key() {
    for (text, at, why) in [
        (
            "lisen = '[::]:1'",
            1,
            "there is no key `lisen`; did you mean `listen`?",
        ),
        (
            "\n# x\nqqqq = 1",
            3,
            "there is no key `qqqq`; `peersox serve --help`",
        ),
        ("config = 'x'", 1, "`config` is a flag of the command line"),
        ("no-quic = 'yes'", 1, "`no-quic` has to be true or false"),
        (
            "digits = '6'",
            1,
            "`digits` has to be a number, without quotes",
        ),
        ("hold = 1.5", 1, "`hold` has to be a number"),
        ("digits = 3", 1, "3 is not in 4..=12"),
        ("\ndigits = 99999999999999999999", 2, "at most 64 bits"),
        ("state = 1", 1, "`state` has to be a text, in quotes"),
        ("state = ['a']", 1, "`state` has to be a text, in quotes"),
        (
            "acme = 1",
            1,
            "`acme` has to be a text in quotes, or a list",
        ),
        ("acme = ['a.example',\n 1]", 2, "has to be a list of texts"),
        ("listen = 'x'", 1, "invalid value 'x' for '--listen"),
        ("role = 'king'", 1, "invalid value 'king' for '--role"),
        ("[listen]\n", 1, "`listen` has to be a text"),
        (
            "listen = '[::]:1'\nlisten = '[::]:2'",
            2,
            "this is no TOML: duplicate key",
        ),
        ("listen =", 1, "this is no TOML"),
    ] {
        let (line, told) = wrong(text);
        assert!(line == at && told.contains(why), "{text:?}: {line}: {told}");
    }
}

#[test]
fn what_a_file_says_is_read_as_if_it_was_typed() {
    let text = "no-quic = true\nno-stun = false\ndigits = 0x8\nstate = 'x y'\n\
                trust-proxy = ['10.0.0.0/8', '::1']\nallow-origin = 'https://a.example'\n";
    let found = read(text).unwrap();
    let settings = Settings {
        file: "p.toml".into(),
        found,
    };
    let typed = ["peersox", "serve", "--hold=65536"].map(OsString::from);
    let all = settings.before(&typed);
    let expected = [
        "peersox",
        "serve",
        "--no-quic",
        "--digits=8",
        "--state=x y",
        "--trust-proxy=10.0.0.0/8",
        "--trust-proxy=::1",
        "--allow-origin=https://a.example",
        "--hold=65536",
    ];
    assert_eq!(all, expected.map(OsString::from));
    assert_eq!(settings.place("state").as_deref(), Some("p.toml:4"));
}

/// A default that is written down would ask for the flags that its flag asks for.
#[test]
fn a_default_that_is_written_down_changes_nothing() {
    let found = read("redis-wait = 0\nrole = 'all'\nregion = ''\nno-stun = false\nacme = []\n");
    assert!(found.unwrap().is_empty());
}

#[test]
fn passwords_in_addresses_are_masked() {
    for (value, shown) in [
        ("redis://u:pw@h:1/0", "redis://u:…@h:1/0"),
        ("redis://:p@w@h,h2/n", "redis://:…@h,h2/n"),
        ("redis://u@h", "redis://u@h"),
        ("https://h/a:b@c", "https://h/a:b@c"),
        ("a:b@c", "a:b@c"),
    ] {
        assert_eq!(masked(value), shown);
    }
}

/// The first lines of `deploy/peersox.toml`.
const HEAD: &str = "\
# The configuration of `peersox serve --config FILE`: every key with its default, or with what it is where
# there is none. Keys are the flags of `peersox serve`; flags and variables of the environment stand instead
# of what is written here. With `--check-config` as well the server says what it would start with, and ends.
";

/// `deploy/peersox.toml` as it has to be.
fn sample() -> String {
    let mut text = HEAD.to_owned();
    let serve = serve();
    for (key, arg) in flags(&serve) {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        text.push_str("\n#");
        let mut column = 1;
        for word in help.split_whitespace() {
            if column + 1 + word.len() > 100 {
                text.push_str("\n#");
                column = 1;
            }
            text.push(' ');
            text.push_str(word);
            column += 1 + word.len();
        }
        // clap takes the last full stop away.
        text.push('.');
        let choices = arg.get_possible_values();
        if !choices.is_empty() && arg.get_action().takes_values() {
            let names: Vec<&str> = choices.iter().map(|it| it.get_name()).collect();
            text.push_str(&format!("\n# One of: {}.", names.join(", ")));
        }
        let defaults = arg.get_default_values().iter();
        let mut values: Vec<String> = defaults.map(|it| it.to_string_lossy().into()).collect();
        if values.is_empty() {
            values = match arg.get_action().takes_values() {
                true => arg
                    .get_value_names()
                    .unwrap_or_default()
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                false => vec!["false".to_owned()],
            };
        }
        text.push_str(&format!("\n#{key} = {}\n", written(arg, &values)));
    }
    text
}

/// A new flag is written into the sample by this test, with `PEERSOX_WRITE_SAMPLE=1`.
#[test]
fn the_sample_lists_every_key_with_its_default() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/peersox.toml");
    if std::env::var_os("PEERSOX_WRITE_SAMPLE").is_some() {
        std::fs::write(file, sample()).unwrap();
    }
    let there = std::fs::read_to_string(file).unwrap_or_default();
    let hint = "set PEERSOX_WRITE_SAMPLE=1 for this test once, and commit deploy/peersox.toml";
    assert!(there == sample(), "{hint}");
    let keys = there
        .lines()
        .filter(|it| it.starts_with('#') && !it.starts_with("# ") && it.len() > 1);
    assert!(keys.count() >= 45, "too few keys");
    // What is written there is TOML once it is no comment.
    let uncommented: String = there
        .lines()
        .filter_map(|it| it.strip_prefix('#').filter(|it| !it.starts_with(' ')))
        .map(|it| format!("{it}\n"))
        .collect();
    let table = DeTable::parse(&uncommented).unwrap();
    assert_eq!(table.get_ref().len(), flags(&serve()).count());
}
