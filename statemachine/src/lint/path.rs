//! Paths of the whole language, as far as the lint follows them, and the intrinsic functions around them.

/// What a path begins at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// `$`
    Data,
    /// `$$`
    Context,
    /// `$name`
    Variable(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Field(String),
    Index,
}

/// A path, up to what names more than one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) root: Root,
    pub(super) steps: Vec<Step>,
    /// Wildcards, slices, filters or functions follow the steps.
    pub(super) selects: bool,
}

/// A text where a path or an intrinsic function stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Path(Path),
    /// The functions' names and the paths among the arguments.
    Function {
        names: Vec<String>,
        paths: Vec<Path>,
    },
    Wrong,
}

impl Reading {
    pub(super) fn of(text: &str) -> Self {
        match text.starts_with('$') {
            true => Path::read(text).map_or(Self::Wrong, Self::Path),
            false => function(text).unwrap_or(Self::Wrong),
        }
    }

    /// The paths that are read.
    pub(super) fn paths(&self) -> &[Path] {
        match self {
            Self::Path(path) => std::slice::from_ref(path),
            Self::Function { paths, .. } => paths,
            Self::Wrong => &[],
        }
    }
}

impl Path {
    pub(super) fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('$')?;
        let (root, mut rest) = match rest.strip_prefix('$') {
            Some(rest) => (Root::Context, rest),
            None => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let root = if end == 0 { Root::Data } else { Root::Variable(rest[..end].to_owned()) };
                (root, &rest[end..])
            }
        };
        let mut path = Self { root, steps: Vec::new(), selects: false };
        while !rest.is_empty() {
            let Some((step, after)) = step(rest) else {
                path.selects = true;
                return is_selector(rest).then_some(path);
            };
            path.steps.push(step);
            rest = after;
        }
        Some(path)
    }

    /// Whether it can only name one value.
    pub(super) fn is_reference(&self) -> bool {
        !self.selects
    }
}

fn step(rest: &str) -> Option<(Step, &str)> {
    if let Some(name) = rest.strip_prefix('.') {
        let end = name.find(['.', '[', '(', '*', ' ', ',']).unwrap_or(name.len());
        let plain = end > 0 && !name[end..].starts_with(['(', '*', ' ', ',']);
        return plain.then(|| (Step::Field(name[..end].to_owned()), &name[end..]));
    }
    let inner = rest.strip_prefix('[')?;
    for quote in ['\'', '"'] {
        if let Some(name) = inner.strip_prefix(quote) {
            let (name, after) = name.split_once(quote)?;
            return Some((Step::Field(name.to_owned()), after.strip_prefix(']')?));
        }
    }
    let (index, after) = inner.split_once(']')?;
    let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some((Step::Index, after))
}

/// Whether it can be the rest of a path that the lint does not follow.
fn is_selector(rest: &str) -> bool {
    let balanced = rest.matches('[').count() == rest.matches(']').count();
    balanced && (rest.starts_with('[') || rest.starts_with('.')) && !rest.ends_with('.')
}

fn function(text: &str) -> Option<Reading> {
    if !text.starts_with("States.") || !text.ends_with(')') {
        return None;
    }
    let (mut names, mut paths) = (Vec::new(), Vec::new());
    let mut rest = text;
    let mut depth = 0_i32;
    while let Some(first) = rest.chars().next() {
        match first {
            '\'' => rest = after_quoted(&rest[1..])?,
            '$' => {
                let end = path_end(rest);
                paths.push(Path::read(&rest[..end])?);
                rest = &rest[end..];
            }
            '(' | ')' => {
                depth += if first == '(' { 1 } else { -1 };
                rest = &rest[1..];
            }
            _ if first.is_alphabetic() => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '.' && c != '_').unwrap_or(rest.len());
                if rest[end..].starts_with('(') {
                    names.push(rest[..end].to_owned());
                }
                rest = &rest[end..];
            }
            other => rest = &rest[other.len_utf8()..],
        }
        if depth < 0 {
            return None;
        }
    }
    (depth == 0 && !names.is_empty()).then_some(Reading::Function { names, paths })
}

fn after_quoted(mut rest: &str) -> Option<&str> {
    loop {
        let next = rest.chars().next()?;
        rest = &rest[next.len_utf8()..];
        match next {
            '\'' => return Some(rest),
            '\\' => rest = &rest[rest.chars().next()?.len_utf8()..],
            _ => {}
        }
    }
}

/// Where a path among arguments ends.
fn path_end(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' | ')' | ' ' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}
