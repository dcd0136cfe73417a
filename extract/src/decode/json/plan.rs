//! What is looked for in records, and what the latest records looked like.

use std::collections::HashMap;

/// Stands for no column, no key, no node.
pub(super) const NONE: u32 = u32::MAX;
/// The most keys that one object's place remembers beyond those that columns need.
const LEARNED_MAX: usize = 1024;
/// The longest key with its white space that is remembered.
const TOKEN_BYTES_MAX: usize = 256;

/// The places of the columns in a record: a tree of keys, the root being the record. Keys that no column needs are
/// learned as they occur. Every key remembers how it was written and which key came next the last time.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) nodes: Vec<Node>,
}

/// The place of an object (or array) that holds columns.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) keys: Vec<Key>,
    names: HashMap<Box<[u8]>, u32>,
    declared: usize,
    /// The key that came first the last time.
    pub(super) first: u32,
    /// The keys that are indices of arrays, if the place turns out to be one.
    pub(super) indices: Vec<(usize, u32)>,
    /// All columns at and below this place.
    pub(super) columns: Vec<u32>,
}

/// A key of an object.
#[derive(Debug)]
pub(super) struct Key {
    token: Token,
    /// The first column that is the key's value.
    pub(super) column: u32,
    /// Whether more columns are the same value.
    pub(super) more_columns: Vec<u32>,
    /// The place of the value, if columns are inside it.
    pub(super) child: u32,
    /// The key that came next the last time.
    pub(super) next: u32,
}

impl Plan {
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = &'a [String]>) -> Self {
        let mut plan = Self { nodes: vec![Node::new()] };
        for (column, path) in paths.into_iter().enumerate() {
            plan.add(column as u32, path);
        }
        plan
    }

    fn add(&mut self, column: u32, path: &[String]) {
        let mut node = 0;
        for (index, step) in path.iter().enumerate() {
            self.nodes[node].columns.push(column);
            let key = self.nodes[node].declare(step);
            if index + 1 == path.len() {
                let key = &mut self.nodes[node].keys[key as usize];
                if key.column == NONE {
                    key.column = column;
                } else {
                    key.more_columns.push(column);
                }
                return;
            }
            node = match self.nodes[node].keys[key as usize].child {
                NONE => {
                    let child = self.nodes.len();
                    self.nodes[node].keys[key as usize].child = child as u32;
                    self.nodes.push(Node::new());
                    child
                }
                child => child as usize,
            };
        }
    }
}

impl Node {
    fn new() -> Self {
        Self {
            keys: Vec::new(),
            names: HashMap::new(),
            declared: 0,
            first: NONE,
            indices: Vec::new(),
            columns: Vec::new(),
        }
    }

    fn declare(&mut self, name: &str) -> u32 {
        if let Some(key) = self.names.get(name.as_bytes()) {
            return *key;
        }
        let key = self.push(name.as_bytes(), Token::default());
        self.declared = self.keys.len();
        let is_index = name == "0" || (name.bytes().all(|byte| byte.is_ascii_digit()) && !name.starts_with('0'));
        if let (true, Ok(index)) = (is_index, name.parse()) {
            self.indices.push((index, key));
        }
        key
    }

    fn push(&mut self, name: &[u8], token: Token) -> u32 {
        let key = self.keys.len() as u32;
        self.keys.push(Key { token, column: NONE, more_columns: Vec::new(), child: NONE, next: NONE });
        self.names.insert(name.into(), key);
        key
    }

    /// Whether a column needs the key.
    #[inline(always)]
    pub(super) fn is_declared(&self, key: u32) -> bool {
        (key as usize) < self.declared
    }

    /// The offset of the value, if the text at `at` has the key `guess` as it was written the last time.
    #[inline(always)]
    pub(super) fn guess(&self, guess: u32, text: &[u8], at: usize) -> Option<usize> {
        self.keys.get(guess as usize)?.token.match_at(text, at)
    }

    /// The key of a name, learned if there is room, else `NONE`. `token` is how it was written, `before` the key before it.
    pub(super) fn find(&mut self, name: &[u8], token: &[u8], before: u32) -> u32 {
        let is_long = token.len() > TOKEN_BYTES_MAX;
        let key = match self.names.get(name) {
            Some(key) => {
                let written = &mut self.keys[*key as usize].token;
                if !is_long && *written.bytes != *token {
                    *written = Token::new(token);
                }
                *key
            }
            None if is_long || self.keys.len() >= self.declared + LEARNED_MAX => return NONE,
            None => self.push(name, Token::new(token)),
        };
        match self.keys.get_mut(before as usize) {
            Some(before) => before.next = key,
            None => self.first = key,
        }
        key
    }
}

/// A key as it is written: from behind the brace or comma up to its value.
///
/// Compared by its first and its last 16 bytes, which for most keys is all of it.
#[derive(Debug, Default)]
struct Token {
    bytes: Box<[u8]>,
    head: u128,
    head_mask: u128,
    tail: u128,
}

impl Token {
    fn new(bytes: &[u8]) -> Self {
        let mut head = [0; 16];
        let head_bytes = bytes.len().min(16);
        head[..head_bytes].copy_from_slice(&bytes[..head_bytes]);
        Self {
            bytes: bytes.into(),
            head: u128::from_le_bytes(head),
            head_mask: if head_bytes == 16 { u128::MAX } else { (1 << (8 * head_bytes)) - 1 },
            tail: bytes.last_chunk().map_or(0, |tail| u128::from_le_bytes(*tail)),
        }
    }

    #[inline(always)]
    fn match_at(&self, text: &[u8], at: usize) -> Option<usize> {
        let bytes = self.bytes.len();
        let rest = text.get(at..)?;
        let Some(head) = rest.first_chunk::<16>() else {
            return (bytes > 0 && rest.starts_with(&self.bytes)).then_some(at + bytes);
        };
        if (u128::from_le_bytes(*head) ^ self.head) & self.head_mask != 0 {
            return None;
        }
        if bytes > 16 {
            let tail = rest.get(bytes - 16..)?.first_chunk::<16>()?;
            if u128::from_le_bytes(*tail) != self.tail || (bytes > 32 && !rest.starts_with(&self.bytes)) {
                return None;
            }
        }
        (bytes > 0).then_some(at + bytes)
    }
}
