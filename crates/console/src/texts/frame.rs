//! The frame of every page, and what all pages share.

use super::Texts;

texts! {
    /// A remark about a command that lists untagged versions.
    platforms_too:
        "The command also lists the platforms of indexes, and what is attached.",
        "该命令还会列出索引的各平台和附件。";
    /// A remark about a command that lists versions.
    pushes_alone:
        "The command lists what was pushed or tagged last. Other events are here alone.",
        "该命令按推送或打标签的时间列出版本；其他事件只在此处显示。";
    /// The link that leads to the content.
    skip: "Skip to the content", "跳到内容";
    /// The label of the search box.
    search: "Search", "搜索";
    /// The hint in the search box.
    search_hint: "image, tag or sha256:…", "镜像、标签 (tag) 或 sha256:…";
    /// The label of the path to a page.
    breadcrumb: "Breadcrumb", "位置";
    /// The label of the links to pages about the same thing.
    sections: "Pages", "页面";
    /// The label of the viewer's menu.
    menu: "Your menu", "您的菜单";
    /// The label of the choice of a language.
    languages: "Language", "语言";
    same_by_command: "The same by command", "用命令实现";
    copy: "Copy", "复制";
    /// A sentence of a button after a copy.
    copied: "Copied", "已复制";
    cancel: "Cancel", "取消";
    /// The banner of development mode.
    dev_banner:
        "Development mode: no sign-in, only this machine. Don't put real data here.",
        "开发模式：无需登录，仅限本机。请勿存放真实数据。";
    /// A sentence of the frame to a viewer without a session.
    signed_out_hint: "You are not signed in. You see what everybody may see.", "您尚未登录，只能看到公开内容。";
}
