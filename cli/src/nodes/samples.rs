//! Reads what `/metrics` answers, as far as servers of ours write it:
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

/// A value with its name and labels.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// All values of one reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Samples(Vec<Sample>);

impl Samples {
    /// Lines that are no values are left out.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(sample).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum of all values of a name; nothing if there is none.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        let mut values = self.0.iter().filter(|it| it.name == name).peekable();
        values.peek()?;
        Some(values.map(|it| it.value).sum())
    }

    /// The values of a name by one of its labels, in the order of the text.
    pub(super) fn by<'a>(
        &'a self,
        name: &'a str,
        label: &'a str,
    ) -> impl Iterator<Item = (&'a str, f64)> {
        let samples = self.0.iter().filter(move |it| it.name == name);
        samples.filter_map(move |it| {
            let (_, value) = it.labels.iter().find(|(name, _)| name == label)?;
            Some((value.as_str(), it.value))
        })
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, behind) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, behind) = quoted(behind)?;
            labels.push((label.to_owned(), value));
            rest = behind;
        }
        rest = rest.strip_prefix('}')?;
    }
    // A timestamp may stand behind it.
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// What stands before the next quotation mark, and what behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_with_their_labels() {
        let text = "# TYPE peersox_legs gauge\n\
                    peersox_legs 2\n\
                    peersox_bytes_total{lane=\"reliable\"} 1.5e3 1700000000\n\
                    peersox_bytes_total{lane=\"signal\"} 7\n\
                    odd{a=\"}\\\"\\\\,\\n\",b=\"\"} 1\n\
                    no value\nopen{a=\"b 1\n# EOF\n";
        let samples = Samples::parse(text);
        assert_eq!(samples.0.len(), 4);
        assert_eq!(samples.sum("peersox_legs"), Some(2.0));
        assert_eq!(samples.sum("peersox_bytes_total"), Some(1507.0));
        assert_eq!(samples.sum("nothing"), None);
        let by: Vec<_> = samples.by("peersox_bytes_total", "lane").collect();
        assert_eq!(by, [("reliable", 1500.0), ("signal", 7.0)]);
        let odd: Vec<_> = samples.by("odd", "a").collect();
        assert_eq!(odd, [("}\"\\,\n", 1.0)]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z{}\",=\\\\ #0-9\n]{0,200}") {
            let _ = Samples::parse(&text);
        }
    }
}
