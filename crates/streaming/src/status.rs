//! How a command ended, and the Status that tells it on the error stream.

use serde_json::{Value, json};

/// The end of an exec or attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// The command ended with exit code 0, or an attachment ended.
    Success,
    /// The command ended with another exit code.
    Code(i32),
    /// The command could not be run or waited for; why.
    Failed(String),
}

impl ExitStatus {
    /// The bytes for the error stream of `v4.channel.k8s.io` and later.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let status = match self {
            Self::Success => json!({"metadata": {}, "status": "Success"}),
            Self::Code(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.message(),
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::Failed(why) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.message(),
                "reason": "InternalError",
                "details": {"causes": [{"message": format!("error executing command in container: {why}")}]},
                "code": 500,
            }),
        };
        status.to_string().into_bytes()
    }

    /// The text for the error stream of older protocols: nothing when all is well.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Success => String::new(),
            Self::Code(code) => format!("command terminated with non-zero exit code: exit status {code}"),
            Self::Failed(why) => format!("Internal error occurred: error executing command in container: {why}"),
        }
    }

    /// Reads what the error stream carried.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let text = || String::from_utf8_lossy(bytes).into_owned();
        let Ok(status) = serde_json::from_slice::<Value>(bytes) else {
            return if bytes.is_empty() { Self::Success } else { Self::Failed(text()) };
        };
        if status["status"] == "Success" {
            return Self::Success;
        }
        let causes = status["details"]["causes"].as_array().map_or(&[][..], Vec::as_slice);
        let code =
            causes.iter().find(|cause| cause["reason"] == "ExitCode").and_then(|cause| cause["message"].as_str());
        match (status["reason"].as_str(), code.and_then(|code| code.parse().ok())) {
            (Some("NonZeroExitCode"), Some(code)) => Self::Code(code),
            _ => Self::Failed(status["message"].as_str().map_or_else(text, str::to_owned)),
        }
    }
}
