//! What texts each type understands.

use RejectCode::{InvalidEncoding, InvalidValue, OutOfRange};
use stepwell_pipeline::spec::{BinaryEncoding, BooleanSpellings, NamedType};

use super::*;

#[test]
fn integers_keep_to_their_bits() {
    for (bits, least, greatest) in
        [(8, -128, 127), (16, -32768, 32767), (32, -(1 << 31), (1 << 31) - 1), (64, i64::MIN, i64::MAX)]
    {
        for number in [least, -1, 0, greatest] {
            assert_eq!(value(&ColumnType::Int(bits), number.to_string()), Ok(number.to_string()));
        }
        for number in [i128::from(least) - 1, i128::from(greatest) + 1] {
            assert_eq!(value(&ColumnType::Int(bits), number.to_string()), Err(OutOfRange), "{number}");
        }
    }
    for (bits, greatest) in [(8, 255), (16, 65535), (32, u64::from(u32::MAX)), (64, u64::MAX)] {
        assert_eq!(value(&ColumnType::Uint(bits), greatest.to_string()), Ok(greatest.to_string()));
        assert_eq!(value(&ColumnType::Uint(bits), (u128::from(greatest) + 1).to_string()), Err(OutOfRange));
        assert_eq!(value(&ColumnType::Uint(bits), "-1"), Err(OutOfRange));
    }
    for (text, number) in
        [("+5", "5"), ("-0", "0"), ("007", "7"), ("00000000000000000000000012", "12"), ("-00000000000000000012", "-12")]
    {
        assert_eq!(value(&ColumnType::Int(8), text).as_deref(), Ok(number), "{text}");
    }
    for text in [
        "",
        "+",
        "-",
        "1.0",
        "1e3",
        " 1",
        "1 ",
        "0x1",
        "NA",
        "--1",
        "+-1",
        "1234567x",
        "x2345678",
        "12345678:",
        "123456789012345678901234567890x",
        "１",
    ] {
        assert_eq!(value(&ColumnType::Int(64), text), Err(InvalidValue), "{text:?}");
    }
    assert_eq!(value(&ColumnType::Int(64), "9".repeat(60)), Err(OutOfRange));
}

#[test]
fn messages_name_the_type_and_never_the_value() {
    let fault = |column_type: ColumnType, text: &str| {
        outcome(&column_without_nulls(&column_type), text).expect_err("a fault").1
    };
    assert_eq!(fault(ColumnType::Int(16), "secret"), "the value is no int16");
    assert_eq!(fault(ColumnType::Int(16), "99999"), "the value is beyond int16");
    let money = ColumnType::Decimal { precision: 4, scale: 2 };
    assert_eq!(fault(money, "1.234"), "the value has more than the 2 digits after the point of decimal(4,2)");
    assert_eq!(fault(ColumnType::Date("%d.%m.%Y".into()), "x"), "the value is no date of the format %d.%m.%Y");
    let local = timestamp("%Y-%m-%d %H:%M:%S", Some("Europe/Berlin"));
    assert_eq!(
        fault(local, "2024-03-31 02:30:00"),
        "the value is no timestamp of the format %Y-%m-%d %H:%M:%S in Europe/Berlin"
    );
}

#[test]
fn decimals_are_exact_or_refused() {
    for (precision, scale) in [(4, 2), (20, 2)] {
        let money = ColumnType::Decimal { precision, scale };
        for (text, number) in [
            ("1", "1.00"),
            ("-1.5", "-1.50"),
            ("+.25", "0.25"),
            ("99.99", "99.99"),
            ("0.100", "0.10"),
            ("5.", "5.00"),
            ("007", "7.00"),
            ("-0.01", "-0.01"),
            ("00000000000000000000001.5000000000000000000000000", "1.50"),
        ] {
            assert_eq!(value(&money, text).as_deref(), Ok(number), "{text}");
        }
        for text in ["0.001", &"9".repeat(50), "-1.005"] {
            assert_eq!(value(&money, text), Err(OutOfRange), "{text}");
        }
        for text in [
            "", ".", "-", "+.", "1,5", "1e2", "1.2.3", "1..2", "$1", "1.0x", "1.000x", "inf", " 1.00", "1.-1", "-+1.00",
        ] {
            assert_eq!(value(&money, text), Err(InvalidValue), "{text}");
        }
    }
    let narrow = ColumnType::Decimal { precision: 4, scale: 2 };
    assert_eq!(value(&narrow, "100"), Err(OutOfRange));
    assert_eq!(value(&narrow, "-100.00"), Err(OutOfRange));
    let widest = ColumnType::Decimal { precision: 38, scale: 0 };
    let nines = "9".repeat(38);
    assert_eq!(value(&widest, &nines), Ok(nines.clone()));
    assert_eq!(value(&widest, format!("1{nines}")), Err(OutOfRange));
    let fraction = ColumnType::Decimal { precision: 38, scale: 38 };
    assert_eq!(value(&fraction, format!("-0.{nines}")), Ok(format!("-0.{nines}")));
    assert_eq!(value(&fraction, "1"), Err(OutOfRange));
}

#[test]
fn floats_do_not_overflow_in_silence() {
    assert_eq!(value(&ColumnType::Float(64), "1e400"), Err(OutOfRange));
    assert_eq!(value(&ColumnType::Float(64), "-1e400"), Err(OutOfRange));
    assert_eq!(value(&ColumnType::Float(32), "1e39"), Err(OutOfRange));
    assert_eq!(value(&ColumnType::Float(64), "1e39").as_deref(), Ok("1e39"));
    for (text, number) in [("-inf", "-inf"), ("+Infinity", "inf"), ("NaN", "NaN"), ("1.5e-3", "0.0015")] {
        assert_eq!(value(&ColumnType::Float(64), text).as_deref(), Ok(number), "{text}");
    }
    for text in ["", "1,5", "1.5 ", "0x10", "info", "e5", "."] {
        assert_eq!(value(&ColumnType::Float(64), text), Err(InvalidValue), "{text}");
    }
}

#[test]
fn booleans_follow_their_spellings() {
    let usual = ColumnType::Boolean(BooleanSpellings::default());
    assert_eq!(value(&usual, "T").as_deref(), Ok("true"));
    assert_eq!(value(&usual, "0").as_deref(), Ok("false"));
    assert_eq!(value(&usual, "yes"), Err(InvalidValue));
    let spelt = |yes: &[&str], no: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ColumnType::Boolean(BooleanSpellings { yes: owned(yes), no: owned(no) })
    };
    let polish = spelt(&["tak", "prawda, oczywiście"], &["nie"]);
    for (text, expected) in
        [("tak", "true"), ("prawda, oczywiście", "true"), ("nie", "false"), ("true", "true"), ("false", "false")]
    {
        assert_eq!(value(&polish, text).as_deref(), Ok(expected), "{text}");
    }
    assert_eq!(value(&polish, "1"), Err(InvalidValue));
    assert_eq!(value(&spelt(&["false"], &["true"]), "true").as_deref(), Ok("false"));
}

#[test]
fn dates_exist_or_are_refused() {
    let iso = ColumnType::Date(ColumnType::ISO_DATE.into());
    for text in ["1970-01-01", "2000-02-29", "2024-02-29", "0000-03-01", "0001-01-01", "9999-12-31", "1900-02-28"] {
        assert_eq!(value(&iso, text).as_deref(), Ok(text));
    }
    assert_eq!(value(&iso, "2024-1-5").as_deref(), Ok("2024-01-05"));
    for text in [
        "1900-02-29",
        "2023-02-29",
        "2023-04-31",
        "2023-13-01",
        "2023-00-01",
        "2023-01-00",
        "2023-01-32",
        "13-01-01",
        "2023/01/01",
        "2023-01-011",
        "2023-01-01 ",
        "2023-1a-01",
        "",
        "２０２３-01-01",
    ] {
        assert_eq!(value(&iso, text), Err(InvalidValue), "{text}");
    }
    for (pattern, text, expected) in [
        ("%d.%m.%Y", "02.01.1970", Ok("1970-01-02")),
        ("%d.%m.%Y", "2.1.1970", Ok("1970-01-02")),
        ("%d.%m.%Y", "02.01.70", Err(InvalidValue)),
        ("%d.%m.%Y", "1970-01-02", Err(InvalidValue)),
        ("%Y%m%d", "20240229", Ok("2024-02-29")),
        ("%m/%d/%y", "02/29/24", Ok("2024-02-29")),
        ("%d-%b-%Y", "01-Jan-2013", Ok("2013-01-01")),
        ("%d-%b-%Y", "01-Jan-13", Err(InvalidValue)),
        ("%Y-%j", "2024-366", Ok("2024-12-31")),
        ("%Y-%m-%d %H:%M", "2024-02-29 23:59", Ok("2024-02-29")),
        ("%Y-%m-%d %H:%M", "2024-02-29 24:00", Err(InvalidValue)),
    ] {
        assert_eq!(value(&ColumnType::Date(pattern.into()), text).as_deref(), expected.as_deref(), "{pattern} {text}");
    }
}

#[test]
fn times_of_day_are_validated() {
    let iso = ColumnType::Time(ColumnType::ISO_TIME.into());
    for (text, expected) in [
        ("00:00:00", "00:00:00"),
        ("23:59:59.999999", "23:59:59.999999"),
        ("1:02:03", "01:02:03"),
        ("10:00:00.1234567", "10:00:00.123456"),
    ] {
        assert_eq!(value(&iso, text).as_deref(), Ok(expected), "{text}");
    }
    for text in ["24:00:00", "10:60:00", "10:00:60", "10:00", "10:00:00.", "10:00:00x", ""] {
        assert_eq!(value(&iso, text), Err(InvalidValue), "{text}");
    }
    assert_eq!(value(&ColumnType::Time("%I:%M %p".into()), "01:30 PM").as_deref(), Ok("13:30:00"));
    assert_eq!(value(&ColumnType::Time("%H:%M:%S".into()), "10:00:00.5"), Err(InvalidValue));
}

#[test]
fn timestamps_follow_their_format() {
    let iso = timestamp(ColumnType::ISO_TIMESTAMP, None);
    for text in ["2013-01-01T10:00:00.25", "2013-01-01 10:00:00.25", "2013-01-01T10:00:00.250000000"] {
        assert_eq!(value(&iso, text).as_deref(), Ok("2013-01-01T10:00:00.250"), "{text}");
    }
    for text in [
        "2013-02-30 10:00:00",
        "2013-01-01",
        "2013-01-01T10:00:60",
        "2013-01-01x10:00:00",
        "2013-01-01T10:00:00Z",
        "2013-01-01T10:00:00.",
        "2013-01-01T24:00:00",
    ] {
        assert_eq!(value(&iso, text), Err(InvalidValue), "{text}");
    }
    for (pattern, text, expected) in [
        ("%Y-%m-%dT%H:%M:%SZ", "2013-01-01T10:00:00Z", "2013-01-01T10:00:00"),
        ("%Y-%m-%dT%H:%M:%S%:z", "2013-01-01T12:00:00+02:00", "2013-01-01T10:00:00Z"),
        ("%Y-%m-%dT%H:%M:%S%z", "2013-01-01T12:00:00+0200", "2013-01-01T10:00:00Z"),
        ("%Y-%m-%dT%H:%M:%S%.f%:z", "2013-01-01T10:00:00.5Z", "2013-01-01T10:00:00.500Z"),
        ("%d/%m/%Y %H:%M", "1/2/2013 9:05", "2013-02-01T09:05:00"),
        ("%d/%m/%Y %I:%M:%S %p", "01/02/2013 09:05:06 PM", "2013-02-01T21:05:06"),
        ("%a, %d %b %Y %H:%M:%S %z", "Tue, 01 Jan 2013 10:00:00 +0100", "2013-01-01T09:00:00Z"),
        ("%Y-%m-%d", "2013-01-01", "2013-01-01T00:00:00"),
        ("%d-%b-%Y", "01-Jan-2013", "2013-01-01T00:00:00"),
        ("epoch_s", "1357034400", "2013-01-01T10:00:00Z"),
        ("epoch_s", "-0.5", "1969-12-31T23:59:59.500Z"),
        ("epoch_s", "1357034400.1234567", "2013-01-01T10:00:00.123456Z"),
        ("epoch_ms", "1357034400250", "2013-01-01T10:00:00.250Z"),
        ("epoch_us", "-1", "1969-12-31T23:59:59.999999Z"),
    ] {
        assert_eq!(value(&timestamp(pattern, None), text).as_deref(), Ok(expected), "{pattern} {text}");
    }
    assert_eq!(value(&timestamp("%a, %d %b %Y %H:%M:%S", None), "Tue, 01 Jan 2013 10:00:60"), Err(InvalidValue));
    for text in ["1.5", "", "1e9", "x", "1."] {
        assert_eq!(value(&timestamp("epoch_ms", None), text), Err(InvalidValue), "{text}");
    }
    assert_eq!(value(&timestamp("epoch_s", None), "9999999999999999"), Err(OutOfRange));
}

#[test]
fn local_times_become_instants() {
    let berlin = timestamp(ColumnType::ISO_TIMESTAMP, Some("Europe/Berlin"));
    for (text, expected) in [
        ("2024-01-15T12:00:00", Ok("2024-01-15T11:00:00Z")),
        ("2024-07-15T12:00:00", Ok("2024-07-15T10:00:00Z")),
        ("2024-03-31T01:59:59", Ok("2024-03-31T00:59:59Z")),
        ("2024-03-31T02:30:00", Err(InvalidValue)),
        ("2024-03-31T03:00:00", Ok("2024-03-31T01:00:00Z")),
        ("2024-10-27T02:30:00", Ok("2024-10-27T00:30:00Z")),
        ("2024-10-27T03:00:00", Ok("2024-10-27T02:00:00Z")),
    ] {
        assert_eq!(value(&berlin, text).as_deref(), expected.as_deref(), "{text}");
    }
}

#[test]
fn text_must_be_utf8() {
    assert_eq!(value(&ColumnType::String, "zażółć").as_deref(), Ok("zażółć"));
    let fault = outcome(&Column::new("c", ColumnType::String), b"caf\xe9").expect_err("Latin-1");
    assert_eq!(fault, (InvalidEncoding, "byte 4 of the field is not UTF-8".into()));
}

#[test]
fn bytes_are_decoded() {
    let hex = ColumnType::Binary(BinaryEncoding::Hex);
    assert_eq!(value(&hex, "00fFa0").as_deref(), Ok("00ffa0"));
    for text in ["0", "0g", "0x00", "é"] {
        assert_eq!(value(&hex, text), Err(InvalidValue), "{text}");
    }
    let base64 = ColumnType::Binary(BinaryEncoding::Base64);
    for text in ["/+8=", "/+8"] {
        assert_eq!(value(&base64, text).as_deref(), Ok("ffef"), "{text}");
    }
    for text in ["/", "_-8=", "a b="] {
        assert_eq!(value(&base64, text), Err(InvalidValue), "{text}");
    }
}

#[test]
fn lists_and_structs_come_from_json() {
    let named = |name: &str, column_type| NamedType { name: name.into(), column_type };
    let prices = ColumnType::List(Box::new(ColumnType::Decimal { precision: 20, scale: 2 }));
    assert_eq!(
        value(&prices, "[12345678901234567.89, \"1.5\", null]").as_deref(),
        Ok("[12345678901234567.89, 1.50, ]")
    );
    let user = ColumnType::Struct(vec![
        named("name", ColumnType::String),
        named("tags", ColumnType::List(Box::new(ColumnType::Int(8)))),
        named("born", ColumnType::Date(ColumnType::ISO_DATE.into())),
        named("ok", ColumnType::Boolean(BooleanSpellings::default())),
    ]);
    let text = r#" {"born":"1990-05-17", "tags":[1,2], "other":{"a":1}, "name":"a\u00e9\"", "ok": true} "#;
    assert_eq!(value(&user, text).as_deref(), Ok("{name: aé\", tags: [1, 2], born: 1990-05-17, ok: true}"));
    assert_eq!(value(&user, r#"{"name":{"a":[1]}}"#).as_deref(), Ok(r#"{name: {"a":[1]}, tags: , born: , ok: }"#));
    let users = ColumnType::List(Box::new(user));
    let column = column_without_nulls(&users);
    let fault = |text: &str| outcome(&column, text).expect_err("a fault");
    assert_eq!(
        fault(r#"[{"tags":[1]},{"tags":[1,2,300]}]"#),
        (OutOfRange, "at `[1].tags[2]`: the value is beyond int8".into())
    );
    assert_eq!(
        fault(r#"[{"born":"17.5.1990"}]"#),
        (InvalidValue, "at `[0].born`: the value is no date of the format %Y-%m-%d".into())
    );
    for text in ["{}", "[1]", "[", "", "x", "[{}]]"] {
        assert_eq!(fault(text).0, InvalidValue, "{text}");
    }
    assert_eq!(outcome(&column, "null"), Ok(None));
    assert_eq!(value(&users, "[]").as_deref(), Ok("[]"));
}
