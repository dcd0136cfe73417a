use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
};
use serde_json::{Map, Value};

use super::{Record, Unread};

/// The first record of a JSON text: the document, the first element of the array that it is, or of the array at the
/// path of `records`. What stands behind it is neither read nor needs to be there.
pub(super) fn first(text: &str, records: Option<&str>, is_whole: bool) -> Result<Record, Unread> {
    let path: Vec<&str> = records.map(|records| records.split('.').collect()).unwrap_or_default();
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let ended = Search { path: &path, found: &mut found }.deserialize(&mut deserializer);
    match (found, ended) {
        (Some(Value::Object(record)), _) => Ok(Record::Object(record)),
        (Some(_), _) => Err(Unread::Unreadable("it is no JSON object".to_owned())),
        (None, Err(error)) if error.is_eof() && !is_whole => Err(Unread::Longer),
        (None, Err(error)) => Err(Unread::Unreadable(error.to_string())),
        (None, Ok(())) => {
            let place = records.map(|records| format!(" in an array at `{records}`")).unwrap_or_default();
            Err(Unread::Unreadable(format!("there is none{place}")))
        }
    }
}

/// Goes down the path, and takes what it finds at its end.
struct Search<'a> {
    path: &'a [&'a str],
    found: &'a mut Option<Value>,
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path {
            [] => f.write_str("an object, or an array of them"),
            [name, ..] => write!(f, "an object with `{name}`"),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let [name, rest @ ..] = self.path else {
            let record = Map::deserialize(MapAccessDeserializer::new(map))?;
            *self.found = Some(Value::Object(record));
            return Ok(());
        };
        while let Some(key) = map.next_key::<String>()? {
            if key == *name {
                return map.next_value_seed(Search { path: rest, found: self.found });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        if !self.path.is_empty() {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        *self.found = sequence.next_element()?;
        Ok(())
    }
}
