//! Bytes written as text (RFC 4648).

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use stepwell_pipeline::spec::BinaryEncoding;

use super::{faults::Unfit, texts::Decode};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Decode for BinaryEncoding {
    fn decode(&self, text: &[u8], bytes: &mut Vec<u8>) -> Result<(), Unfit> {
        match self {
            Self::Base64 => BASE64.decode_vec(text, bytes).map_err(|_| Unfit::Invalid),
            Self::Hex => decode_hex(text, bytes).ok_or(Unfit::Invalid),
        }
    }
}

fn decode_hex(text: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    let (pairs, rest) = text.as_chunks::<2>();
    let digit = |letter: u8| char::from(letter).to_digit(16);
    for [upper, lower] in pairs {
        bytes.push((digit(*upper)? << 4 | digit(*lower)?) as u8);
    }
    rest.is_empty().then_some(())
}
