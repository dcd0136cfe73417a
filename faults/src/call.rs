//! Calls that stages make to the outside, and what can go wrong with each.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use stepwell_pipeline::store::ObjectRef;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Asks for an object's metadata.
    Head,
    /// Reads an object or a range of it.
    Get,
    /// Lists a prefix.
    List,
    /// Writes an object, whatever is there.
    Put,
    /// Writes an object on a condition.
    PutIf,
    /// Removes objects.
    Delete,
    /// Copies an object on the store's side.
    Copy,
    /// Begins an upload in parts.
    UploadBegin,
    /// Sends a part.
    UploadPart,
    /// Makes an object of the parts.
    UploadComplete,
    /// Gives an upload up.
    UploadAbort,
    /// Publishes a notice.
    Publish,
    /// Starts an execution.
    Start,
}

impl Operation {
    /// Whether the call changes anything outside.
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Head | Self::Get | Self::List)
    }

    /// What can go wrong with such a call; `landing` says that it is about an object that others may replace.
    pub fn fault_kinds(self, landing: bool) -> Vec<FaultKind> {
        use FaultKind::*;
        let mut kinds = vec![FailsBefore, SlowDown];
        match self {
            Self::Head | Self::List => kinds.push(KilledBefore),
            Self::Get => kinds.extend([ResetMidBody, WrongLength, KilledBefore]),
            _ => kinds.extend([ReplyLost, TimesOut, KilledBefore, KilledAfter, KilledDuring]),
        }
        match self {
            Self::Put | Self::Copy | Self::UploadBegin | Self::UploadComplete => kinds.push(Conflict),
            Self::PutIf => kinds.extend([Conflict, ConditionFails, ConditionFailsAfterWrite]),
            Self::Delete => kinds.push(DonePartly),
            Self::UploadPart => kinds.push(Torn),
            _ => {}
        }
        if matches!(self, Self::Put | Self::UploadComplete) {
            kinds.push(ConditionFails);
        }
        kinds.push(RivalRuns);
        if landing && matches!(self, Self::Get | Self::Head) {
            kinds.push(SourceReplaced);
        }
        kinds
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $type { $($(#[$variant_doc])* $variant,)+ }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in a case.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().copied().find(|one| one.name() == name);
                found.ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|one| one.name()).collect();
                    format!("there is no `{name}`; there are {}", known.join(", "))
                })
            }
        }
    };
}

named! {
    /// How a call goes wrong.
    FaultKind {
        /// Nothing is done; the service answers 500 or not at all.
        FailsBefore = "fails-before",
        /// It is done, and the answer is lost.
        ReplyLost = "reply-lost",
        /// Nothing is done; the service answers 503 SlowDown.
        SlowDown = "slow-down",
        /// Nothing is done; the service answers 409.
        Conflict = "conflict",
        /// Nothing is done; the service answers 412.
        ConditionFails = "condition-fails",
        /// It is done, the answer is lost, and the client's own quick repetition gets a 412.
        ConditionFailsAfterWrite = "condition-fails-after-write",
        /// The caller waits in vain; the write comes to pass 0.2 s later.
        TimesOut = "times-out",
        /// The connection breaks in the middle of a part of an upload; the parts before it stay.
        Torn = "torn",
        /// Some of the objects are removed, then the service answers 500.
        DonePartly = "done-partly",
        /// Half of the body comes, then the connection is reset.
        ResetMidBody = "reset-mid-body",
        /// Half of the body comes, and the answer ends as if that were all.
        WrongLength = "wrong-length",
        /// Somebody uploads another version of the source object right before the call.
        SourceReplaced = "source-replaced",
        /// Somebody uploads another version right before the call, and its own execution runs to its end there and then.
        RivalRuns = "rival-runs",
        /// The function's time runs out right before the call.
        KilledBefore = "killed-before",
        /// The function's time runs out right after the call.
        KilledAfter = "killed-after",
        /// The function's time runs out while the call is under way; the write comes to pass 1 s later.
        KilledDuring = "killed-during",
    }
}

named! {
    /// How an execution goes on after a fault.
    Recovery {
        /// The state machine's own retries, then a redrive if they do not help.
        Retry = "retry",
        /// The fault lasts until the execution has failed; then somebody presses Redrive.
        Redrive = "redrive",
        /// The fault lasts until the execution has failed; then somebody starts a new one with the same input.
        Replay = "replay",
    }
}

/// One fault of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fault {
    /// Which call of the case goes wrong, counted from 0.
    pub call: u32,
    /// How.
    pub kind: FaultKind,
    /// What follows.
    pub recovery: Recovery,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.call, self.kind, self.recovery)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let [call, kind, recovery] = text.split('.').collect::<Vec<_>>()[..] else {
            return Err(format!("`{text}` is no fault; write `12.reply-lost.redrive`"));
        };
        let call = call.parse().map_err(|_| format!("`{call}` is no number of a call"))?;
        Ok(Self { call, kind: kind.parse()?, recovery: recovery.parse()? })
    }
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// What it did.
    pub operation: Operation,
    /// What it was about.
    pub target: ObjectRef,
    /// Whether it was about an object that others may replace.
    pub landing: bool,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.operation, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_written() {
        for kind in FaultKind::ALL {
            for recovery in Recovery::ALL {
                let fault = Fault { call: 12, kind: *kind, recovery: *recovery };
                assert_eq!(fault.to_string().parse(), Ok(fault));
            }
        }
        assert!("12.reply-lost".parse::<Fault>().is_err());
        assert!("12.replay-lost.redrive".parse::<Fault>().is_err_and(|error| error.contains("reply-lost")));
    }
}
