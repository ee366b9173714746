//! JSON as it was sent: a tree that keeps every member of an object, even a repeated one, and numbers as text, so that
//! nothing is rounded, dropped or merged before it has been checked. The grammar is serde_json's: [`check`] is where
//! text becomes JSON, and everything else here walks text that has passed it.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Levels that are read; anything deeper is only noted. Metadata may have 16, inside a command of a batch.
const MAX_LEVELS: usize = 32;

/// A JSON value with its contents.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    /// As written.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// A string with an unpaired surrogate (`\ud800`), which is not a character; also an object with such a member name.
    Broken,
    Array(Vec<Node<'a>>),
    /// In source order.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    /// Something below the deepest level that is read.
    Deep,
}

impl Node<'_> {
    /// The string, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        let Self::Text(text) = self else { return None };
        Some(text)
    }

    /// The integer, if it is written with nothing but digits and a sign: `1.0` and `1e2` are not.
    pub(crate) fn whole(&self) -> Option<i64> {
        let Self::Number(text) = self else { return None };
        text.parse().ok()
    }
}

/// Whether `bytes` are one JSON value in UTF-8.
pub(crate) fn check(bytes: &[u8]) -> Result<&RawValue, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// The whole tree.
pub(crate) fn tree(json: &RawValue) -> Node<'_> {
    Reader::of(json.get()).value(1)
}

/// The value without its contents.
pub(crate) fn shallow(text: &str) -> Node<'_> {
    Reader::of(text).value(MAX_LEVELS + 1)
}

/// The first `most` members of an object, each as its text; `None` if it is not an object.
pub(crate) fn members(json: &RawValue, most: usize) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let mut reader = Reader::of(json.get());
    reader
        .begins(b'{')
        .then(|| reader.members(most, |reader, _| reader.skip()))
}

/// The first `most` items of an array, each as its text; `None` if it is not an array.
pub(crate) fn items(text: &str, most: usize) -> Option<Vec<&str>> {
    let mut reader = Reader::of(text);
    reader.begins(b'[').then(|| reader.items(most, Reader::skip))
}

/// A position in text that is known to be JSON, so the first byte tells the kind of each value.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> u8 {
        let rest = &self.text.as_bytes()[self.at..];
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
        self.at += blank.count();
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    /// Skips `byte` if it comes next.
    fn begins(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte;
        self.at += usize::from(is_next);
        is_next
    }

    /// The text up to the end of a number or a word.
    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, ',' | ']' | '}' | ':'))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A string with its quotation marks.
    fn quoted(&mut self) -> &'a str {
        let rest = &self.text.as_bytes()[self.at..];
        let mut end = 1;
        while end < rest.len() && rest[end] != b'"' {
            end += if rest[end] == b'\\' { 2 } else { 1 };
        }
        let from = self.at;
        self.at = (from + end + 1).min(self.text.len());
        &self.text[from..self.at]
    }

    fn value(&mut self, level: usize) -> Node<'a> {
        match self.peek() {
            b'{' | b'[' if level > MAX_LEVELS => {
                self.skip();
                Node::Deep
            }
            b'{' => {
                self.at += 1;
                Node::Object(self.members(usize::MAX, |reader, is_named| {
                    let value = reader.value(level + 1);
                    if is_named { value } else { Node::Broken }
                }))
            }
            b'[' => {
                self.at += 1;
                Node::Array(self.items(usize::MAX, |reader| reader.value(level + 1)))
            }
            b'"' => unquoted(self.quoted()).map_or(Node::Broken, Node::Text),
            _ => match self.word() {
                "true" => Node::Bool(true),
                "false" => Node::Bool(false),
                "null" => Node::Null,
                number => Node::Number(number),
            },
        }
    }

    /// Reads from behind the opening brace to behind the closing one, unless there are more than `most` members. A name that
    /// is not valid text is kept as written, and `value` is told.
    fn members<T>(
        &mut self,
        most: usize,
        mut value: impl FnMut(&mut Self, bool) -> T,
    ) -> Vec<(Cow<'a, str>, T)> {
        let mut members = Vec::new();
        while self.peek() == b'"' && members.len() < most {
            let name = self.quoted();
            let text = unquoted(name);
            self.begins(b':');
            let value = value(self, text.is_some());
            members.push((text.unwrap_or(Cow::Borrowed(name)), value));
            self.begins(b',');
        }
        self.begins(b'}');
        members
    }

    /// Reads from behind the opening bracket to behind the closing one, unless there are more than `most` items.
    fn items<T>(&mut self, most: usize, mut value: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = Vec::new();
        while !matches!(self.peek(), b']' | 0) && items.len() < most {
            items.push(value(self));
            self.begins(b',');
        }
        self.begins(b']');
        items
    }

    /// Skips a value, however deep it is, and returns its text.
    fn skip(&mut self) -> &'a str {
        self.peek();
        let from = self.at;
        let mut open = 0_usize;
        loop {
            match self.peek() {
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    open = open.saturating_sub(1);
                    self.at += 1;
                }
                b'"' => {
                    self.quoted();
                }
                b',' | b':' => self.at += 1,
                0 => break,
                _ => {
                    self.word();
                }
            }
            if open == 0 {
                break;
            }
        }
        &self.text[from..self.at]
    }
}

/// `None` when an escape does not stand for a character.
fn unquoted(quoted: &str) -> Option<Cow<'_, str>> {
    if quoted.contains('\\') {
        serde_json::from_str(quoted).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(quoted.trim_matches('"')))
    }
}

/// The number, if a 64-bit integer or a double holds exactly what is written. It is kept as serde_json writes it: the
/// same number, but not always the same spelling (`1E2` is `100.0`, `-0` is `0`). PostgreSQL stores and returns the same
/// number again.
pub(crate) fn number(written: &str) -> Option<serde_json::Number> {
    if let Ok(whole) = written.parse::<u64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = written.parse::<i64>() {
        return Some(whole.into());
    }
    let double: f64 = written.parse().ok()?;
    // PostgreSQL has no negative zero.
    let double = if double == 0.0 { 0.0 } else { double };
    let kept = serde_json::Number::from_f64(double)?;
    let text = kept.to_string();
    let value = Decimal::of(written);
    if value != Decimal::of(&text) {
        return None;
    }
    // serde_json would write an exponent, PostgreSQL the full digits. As an integer, both write the same. The digits
    // are those that were sent; the double's own may differ (4.023936817785637e17 is 402393681778563712 in binary).
    let whole = text.contains('e').then(|| value.integer()).flatten();
    Some(whole.unwrap_or(kept))
}

/// The value of a number's text: 0.digits × 10^exponent, without zeros at either end.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_start_matches('0');
        let leading = all.len() - digits.len();
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return Self {
                negative: false,
                digits: String::new(),
                exponent: 0,
            };
        }
        // An exponent that does not fit an i64 is far beyond any double.
        let exponent = exponent.parse::<i64>().unwrap_or(i64::MAX);
        let shift = i64::try_from(whole.len()).unwrap_or(i64::MAX) - i64::try_from(leading).unwrap_or(0);
        Self {
            negative,
            digits: digits.to_owned(),
            exponent: exponent.saturating_add(shift),
        }
    }

    /// The same as a 64-bit integer, if possible.
    fn integer(&self) -> Option<serde_json::Number> {
        let length = usize::try_from(self.exponent)
            .ok()
            .filter(|length| *length <= 20)?;
        let zeros = length.checked_sub(self.digits.len())?;
        let sign = if self.negative { "-" } else { "" };
        let whole = format!("{sign}{}{}", self.digits, "0".repeat(zeros));
        let unsigned = whole.parse::<u64>().ok().map(Into::into);
        unsigned.or_else(|| whole.parse::<i64>().ok().map(Into::into))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn read(text: &str) -> Node<'_> {
        tree(check(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_tree_has_everything_as_it_was_written() {
        let text = " { \"a\" : [ 1.50 , -0,1E2 ,true,null , \"x\\n\\\"\" , \"\" ] , \"a\":{ } , \"\\u0062\" : \"\\ud800\"\n} ";
        assert_eq!(
            read(text),
            Node::Object(vec![
                (
                    "a".into(),
                    Node::Array(vec![
                        Node::Number("1.50"),
                        Node::Number("-0"),
                        Node::Number("1E2"),
                        Node::Bool(true),
                        Node::Null,
                        Node::Text("x\n\"".into()),
                        Node::Text("".into()),
                    ])
                ),
                ("a".into(), Node::Object(vec![])),
                ("b".into(), Node::Broken),
            ])
        );
        let raw = check(text.as_bytes()).unwrap();
        let members = members(raw, 9).unwrap();
        let texts: Vec<&str> = members.iter().map(|(_, text)| *text).collect();
        assert_eq!(
            texts,
            [
                "[ 1.50 , -0,1E2 ,true,null , \"x\\n\\\"\" , \"\" ]",
                "{ }",
                "\"\\ud800\""
            ]
        );
        let array = "[ {\"a\":[\"]\"]} , 5]";
        assert_eq!(items(array, 9), Some(vec!["{\"a\":[\"]\"]}", "5"]));
        assert_eq!(items(array, 1), Some(vec!["{\"a\":[\"]\"]}"]));
        assert_eq!((items("{}", 9), items("[]", 9)), (None, Some(vec![])));
    }

    /// serde_json's result for the same text is the oracle.
    #[test]
    fn a_tree_is_what_serde_json_reads() {
        fn value(node: Node<'_>) -> serde_json::Value {
            match node {
                Node::Null | Node::Broken | Node::Deep => serde_json::Value::Null,
                Node::Bool(is) => is.into(),
                Node::Number(text) => serde_json::from_str(text).unwrap(),
                Node::Text(text) => text.into_owned().into(),
                Node::Array(items) => items.into_iter().map(value).collect(),
                Node::Object(members) => {
                    let members = members.into_iter();
                    members
                        .map(|(name, node)| (name.into_owned(), value(node)))
                        .collect()
                }
            }
        }
        for text in [
            "5",
            "\"\\\\\"",
            "[[],[[]],{},[{}]]",
            "{\"\\\\\":\"\\\\\",\"\\\"\":[1,2.5e-7,-3],\"\":{\"ü😀\":\"\\ud83d\\ude00\"}}",
            "\r\n\t[ -0.0 ,\r\n{\"a\" :false}\t]\n",
        ] {
            let expected: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(value(read(text)), expected, "{text}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let mut node = &read(&deep);
        let mut levels = 0;
        while let Node::Array(items) = node {
            (node, levels) = (&items[0], levels + 1);
        }
        assert_eq!((node, levels), (&Node::Deep, MAX_LEVELS));
    }

    #[test]
    fn what_is_no_json_is_seen() {
        for text in [
            "",
            " ",
            "{",
            "{\"a\":1}x",
            "\u{feff}{}",
            "nul",
            "01",
            "1.",
            "+1",
            "[1,]",
            "{\"a\" 1}",
            "{'a':1}",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "NaN",
            "-",
            ".5",
            "1e",
            "[1 2]",
        ] {
            assert!(check(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(check(b"\"\xff\"").is_err());
    }

    #[test]
    fn a_number_is_kept_as_it_is_written_or_not_at_all() {
        for (written, kept) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            ("0e5", "0.0"),
            ("0.00", "0.0"),
            ("1", "1"),
            ("1.0", "1.0"),
            ("1E2", "100.0"),
            ("1.10", "1.1"),
            ("0.1", "0.1"),
            ("1e-7", "1e-7"),
            ("941300.4193968255", "941300.4193968255"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9007199254740993", "9007199254740993"),
            ("1e19", "10000000000000000000"),
            ("-1e18", "-1000000000000000000"),
            ("402393681778563700.0", "402393681778563700"),
            ("4.023936817785637e17", "402393681778563700"),
            ("-9.00719925474099E+17", "-900719925474099000"),
            ("4.023936817785637e20", "4.023936817785637e20"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e308"),
        ] {
            let number = number(written).map(|number| number.to_string().replace("e+", "e"));
            assert_eq!(number.as_deref(), Some(kept), "{written}");
        }
        for written in [
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "9007199254740993.0",
            "0.1000000000000000055",
            "3.141592653589793238",
            "1e400",
            "-1e400",
            "1e-400",
            "-1e-400",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "1.7976931348623158e308",
        ] {
            assert_eq!(number(written), None, "{written}");
        }
    }

    /// The number in full, without an exponent or redundant zeros.
    fn in_full(text: &str) -> String {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (mut whole, mut fraction) = (whole.to_owned(), fraction.to_owned());
        for _ in 0..exponent.parse::<i64>().unwrap() {
            let next = if fraction.is_empty() {
                '0'
            } else {
                fraction.remove(0)
            };
            whole.push(next);
        }
        for _ in exponent.parse::<i64>().unwrap()..0 {
            fraction.insert(0, whole.pop().unwrap_or('0'));
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let sign = if negative && !(whole.is_empty() && fraction.is_empty()) {
            "-"
        } else {
            ""
        };
        format!("{sign}{whole}.{fraction}")
    }

    /// Every number that is kept equals the one that was sent: here, and as PostgreSQL writes it (in full).
    #[test]
    fn a_kept_number_has_the_value_that_was_sent() {
        let mut bits = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = |below: u64| {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            bits % below
        };
        let mut kept_in_all = 0;
        for _ in 0..50_000 {
            let digits = usize::try_from(1 + random(21)).unwrap();
            let mut text: String = (0..digits)
                .map(|_| char::from(b'0' + u8::try_from(random(10)).unwrap()))
                .collect();
            text = match text.trim_start_matches('0') {
                "" => "0".to_owned(),
                digits => digits.to_owned(),
            };
            if random(3) > 0 {
                text.push_str(&"0".repeat(usize::try_from(random(6)).unwrap()));
            }
            if random(2) == 0 {
                let point = 1 + usize::try_from(random(text.len() as u64)).unwrap();
                if point < text.len() {
                    text.insert(point, '.');
                    if text.starts_with('0') && point > 1 {
                        continue;
                    }
                } else {
                    text.push_str(".0");
                }
            }
            if random(2) == 0 {
                let sign = ["", "+", "-"][usize::try_from(random(3)).unwrap()];
                text = format!(
                    "{text}{}{sign}{}",
                    if random(2) == 0 { 'e' } else { 'E' },
                    random(25)
                );
            }
            if random(2) == 0 {
                text.insert(0, '-');
            }
            let Some(kept) = number(&text) else { continue };
            kept_in_all += 1;
            let written = kept.to_string();
            assert_eq!(in_full(&written), in_full(&text), "{text} became {written}");
            let full = in_full(&written);
            let (whole, fraction) = full.split_once('.').unwrap();
            let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |rest| ("-", rest));
            let whole = if whole.is_empty() { "0" } else { whole };
            let stored = match fraction {
                "" if written.contains('.') && !written.contains('e') => format!("{sign}{whole}.0"),
                "" => format!("{sign}{whole}"),
                fraction => format!("{sign}{whole}.{fraction}"),
            };
            let read: serde_json::Number = serde_json::from_str(&stored).unwrap();
            assert_eq!(read.to_string(), written, "{text} came back from {stored}");
        }
        assert!(kept_in_all > 10_000, "{kept_in_all}");
    }

    /// Except for `-0.0` and the like, every double that serde_json writes is kept as it is.
    #[test]
    fn every_double_is_kept() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let double = f64::from_bits(bits);
            let Some(written) = serde_json::Number::from_f64(double) else {
                continue;
            };
            let kept = number(&written.to_string()).and_then(|kept| kept.as_f64());
            assert_eq!(kept, Some(double), "{written}");
        }
    }
}
