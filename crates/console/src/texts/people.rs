//! Signing in, and the viewer's own page.

use super::Texts;

texts! {
    sign_in: "Sign in", "登录";
    sign_out: "Sign out", "退出登录";
    sign_in_hint:
        "Sign in with the e-mail address and the password that you set by your link.",
        "使用电子邮件地址和您通过链接设置的密码登录。";
    email: "E-mail address", "电子邮件地址";
    password: "Password", "密码";
    new_password: "New password, at least 12 characters", "新密码，至少 12 个字符";
    set_password: "Set a password", "设置密码";
    password_is_set: "The password is set. Sign in with it.", "密码已设置，请用它登录。";
    /// A sentence of the page where no session can be kept.
    needs_https:
        "Signing in needs https, or an address on this machine (localhost). You opened",
        "登录需要 https，或本机地址 (localhost)。您打开的是";
    wrong_password: "The e-mail address or the password is wrong.", "电子邮件地址或密码错误。";
    /// A sentence of the page after many wrong credentials.
    too_many: "Too many wrong passwords. Wait a minute, then try again.", "密码错误次数过多。请等待一分钟后重试。";
    sign_in_busy: "Too many people are signing in at this moment. Try again.", "此刻登录的人太多，请重试。";
    /// A sentence of the page of a link.
    link_unusable:
        "This link was used before, has expired, or is wrong. Ask the operator for a new one.",
        "此链接已使用、已过期或有误。请向运维人员索取新链接。";
    sessions: "Sessions", "会话";
    /// A sentence of the page in development mode.
    no_session: "Development mode has no sessions.", "开发模式没有会话。";
    this_session: "this one", "当前会话";
    device: "Device", "设备";
    address: "Address", "地址";
    last_seen: "Last seen", "最近活动";
    expires: "Ends", "到期";
    end: "End", "结束";
    end_others: "End all other sessions", "结束其他所有会话";
}

impl Texts {
    /// A sentence of the page for signing in.
    pub(crate) fn wait_seconds(self, seconds: u64) -> String {
        match self {
            Self::English => format!("Too many wrong passwords. Try again in {seconds} s."),
            Self::Chinese => format!("密码错误次数过多。请在 {seconds} 秒后重试。"),
        }
    }

    pub(crate) fn network_waits(self, seconds: u64) -> String {
        match self {
            Self::English => {
                format!("Too many sign-ins come from your network. Try again in {seconds} s.")
            }
            Self::Chinese => format!("来自您所在网络的登录过多。请在 {seconds} 秒后重试。"),
        }
    }
}
