//! Lists of projects, repositories, images, tags and versions.

use super::Texts;

texts! {
    filter: "Filter", "筛选";
    filter_tags: "Tags that begin with", "标签前缀";
    filter_images: "Images that contain", "镜像名包含";
    filter_projects: "Projects that contain", "项目名包含";
    filter_repositories: "Repositories that contain", "仓库名包含";
    /// A remark above the tags of one version.
    tags_of: "The tags of", "此版本的标签：";
    /// A column: the upstream that an image or a tag comes from.
    comes_from: "Upstream", "上游";
    next_page: "Next page", "下一页";
    previous_page: "Previous page", "上一页";
    first_page: "First page", "首页";
    rows: "Rows", "行数";
    select: "Select", "选择";
    show_all: "Show all", "显示全部";
    /// A sentence of a list that a filter left empty.
    no_match: "Nothing matches this filter.", "没有符合筛选条件的内容。";
    /// A sentence of the search.
    found_nothing: "Nothing here has this name, or you can't see it:", "没有此名称的内容，或您无权查看：";
    /// A sentence of a search that did not come to its end.
    search_stopped: "The search stopped here.", "搜索在此处停止。";
    search_further: "Search further", "继续搜索";
    newest_tag: "Pull the newest tag", "拉取最新标签";
    newest_tag_column: "Newest tag", "最新标签";
    show_attached_tags: "Show tags of attachments", "显示附件标签";
    hide_attached_tags: "Hide tags of attachments", "隐藏附件标签";
    no_projects:
        "No project here that you can see. Push an image, and its project appears:",
        "没有您可以查看的项目。推送一个镜像，项目就会出现：";
    /// A sentence of the page of a project.
    no_repositories: "No repository here yet.", "还没有仓库。";
    /// A sentence of the page of a repository.
    no_images: "No image here yet. Push one:", "还没有镜像。推送一个：";
    /// A sentence of the page of a virtual repository.
    no_images_virtual: "This repository shows images of its upstreams. They have none.", "此仓库显示其上游的镜像，目前没有。";
    /// A sentence of the page of a remote repository.
    no_images_remote: "Nothing pulled through yet. Try:", "尚未拉取任何内容。试试：";
    /// A sentence of the list of untagged versions.
    no_untagged:
        "Every version has a tag or belongs to an image with one. Nothing to clean.",
        "每个版本都有标签，或属于有标签的镜像。无需清理。";
    /// The label of a list of tools.
    tools: "Tools", "工具";
}

impl Texts {
    /// A sentence about the rows of a page, and the number of all rows.
    pub(crate) fn rows_of(self, first: u64, last: u64, total: Option<u64>) -> String {
        let range = format!("{}–{}", grouped(first), grouped(last));
        match (self, total.map(grouped)) {
            (Self::English, Some(total)) => format!("{range} of {total}"),
            (Self::English, None) => range,
            (Self::Chinese, Some(total)) => format!("第 {range} 项，共 {total} 项"),
            (Self::Chinese, None) => format!("第 {range} 项"),
        }
    }

    /// A link to the tags of a version that its page does not show.
    pub(crate) fn more_tags(self, more: usize, is_complete: bool) -> String {
        let more = grouped(more as u64);
        match (self, is_complete) {
            (Self::English, true) => format!("+{more} more"),
            (Self::English, false) => format!("more than {more} more"),
            (Self::Chinese, true) => format!("另有 {more} 个"),
            (Self::Chinese, false) => format!("另有 {more} 个以上"),
        }
    }
}

/// Returns a number with a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_rows() {
        let t = Texts::English;
        assert_eq!(t.rows_of(1, 50, Some(1_000_000)), "1–50 of 1,000,000");
        assert_eq!(t.rows_of(951, 1_000, None), "951–1,000");
        assert_eq!(Texts::Chinese.rows_of(1, 3, Some(3)), "第 1–3 项，共 3 项");
    }
}
