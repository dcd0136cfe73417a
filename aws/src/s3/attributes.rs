use std::collections::HashMap;

use object_store::{Attribute, Attributes};

/// Sets the attributes and tags of the object that a request of S3 creates; the requests that create objects share
/// these setters and no trait.
macro_rules! with_attributes {
    ($request:expr, $attributes:expr, $tags:expr) => {{
        use object_store::Attribute;
        let mut request = $request;
        for (attribute, value) in $attributes {
            let value = value.to_string();
            request = match attribute {
                Attribute::ContentDisposition => request.content_disposition(value),
                Attribute::ContentEncoding => request.content_encoding(value),
                Attribute::ContentLanguage => request.content_language(value),
                Attribute::ContentType => request.content_type(value),
                Attribute::CacheControl => request.cache_control(value),
                Attribute::StorageClass => request.storage_class(value.as_str().into()),
                Attribute::Metadata(name) => request.metadata(name.to_string(), value),
                _ => return Err($crate::s3::error::unsupported("S3 has no such attribute")),
            };
        }
        let tags: &object_store::TagSet = $tags;
        if tags.encoded().is_empty() { request } else { request.tagging(tags.encoded()) }
    }};
}

pub(super) use with_attributes;

/// The attributes that an object was read with.
pub(super) struct Found<'a> {
    pub(super) named: [(Attribute, Option<&'a str>); 5],
    pub(super) metadata: Option<&'a HashMap<String, String>>,
}

impl From<Found<'_>> for Attributes {
    fn from(found: Found<'_>) -> Self {
        let mut attributes = Attributes::new();
        for (attribute, value) in found.named {
            if let Some(value) = value {
                attributes.insert(attribute, value.to_owned().into());
            }
        }
        for (name, value) in found.metadata.into_iter().flatten() {
            attributes.insert(Attribute::Metadata(name.clone().into()), value.clone().into());
        }
        attributes
    }
}
