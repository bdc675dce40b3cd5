//! Pages that say why there is no other one.

use super::Texts;

texts! {
    not_found: "Not found", "未找到";
    not_found_hint: "There is nothing at this address, or you can't see it.", "此地址没有内容，或者您无权查看。";
    forbidden: "Not allowed", "无权操作";
    /// A sentence of the page before it names a permission.
    forbidden_hint: "You can see this, but not change it. It needs the permission", "您可以查看，但不能更改。需要权限";
    changed: "Changed meanwhile", "内容已变更";
    refused: "Refused", "已拒绝";
    unavailable: "Not available now", "暂时不可用";
    /// A sentence of the page after a fault of the server.
    internal:
        "The server could not do this. Its log has the reason, under this number:",
        "服务器未能完成操作。原因见其日志，编号：";
}

impl Texts {
    /// Returns a sentence of the page about a form that was sent to another host than the console's.
    pub(crate) fn other_host(self, url: &str) -> String {
        match self {
            Self::English => {
                format!("The console is at {url}. Open it there. Nothing was changed.")
            }
            Self::Chinese => format!("控制台位于 {url}。请在那里打开。没有任何更改。"),
        }
    }
}
