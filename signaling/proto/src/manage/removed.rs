//! The result of the removal of a camera.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::ChangedResult;
use crate::CameraId;
use crate::rest::Removed;

/// Result of `portholeRemoveCamera`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RemovedResult {
    /// The id of the camera.
    pub camera: CameraId,
    /// The number of this change, for the next one.
    pub revision: u32,
    /// From server to client: what was removed with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub removed: Option<Removed>,
}

impl From<&ChangedResult> for RemovedResult {
    fn from(changed: &ChangedResult) -> Self {
        let ChangedResult { camera, revision } = changed.clone();
        Self { camera, revision, removed: None }
    }
}
