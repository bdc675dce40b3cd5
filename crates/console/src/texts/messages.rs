//! The sentences about a form that was sent.

use super::Texts;
use crate::session::{Done, Message};

impl Texts {
    /// Returns the sentence for what a form has done.
    pub(crate) fn message(self, message: &Message) -> String {
        let about = &message.about;
        match (message.done, self) {
            (Done::TagSet, Self::English) => format!("The tag {about} is set."),
            (Done::TagSet, Self::Chinese) => format!("标签 {about} 已设置。"),
            (Done::TagRemoved, Self::English) => {
                format!("The tag {about} is removed. Its version stays.")
            }
            (Done::TagRemoved, Self::Chinese) => format!("标签 {about} 已移除，其版本保留。"),
            (Done::VersionsDeleted, Self::English) => format!("Deleted: {about}."),
            (Done::VersionsDeleted, Self::Chinese) => format!("已删除：{about}。"),
            (Done::SessionEnded, Self::English) => "The session is ended.".to_owned(),
            (Done::SessionEnded, Self::Chinese) => "会话已结束。".to_owned(),
        }
    }
}
