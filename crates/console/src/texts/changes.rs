//! Changes of an image: its tags, their history, deletion, and the comparison of versions.

use super::Texts;

texts! {
    add_tag: "Add a tag", "添加标签";
    remove_tag: "Remove tag", "移除标签";
    /// A remark about adding a tag.
    move_hint: "A tag that exists is moved here.", "已存在的标签会移动到这里。";
    put_back: "Put back", "恢复";
    from: "From", "原来";
    to: "To", "现在";
    delete: "Delete", "删除";
    delete_selected: "Delete the selected", "删除所选";
    goes: "What goes", "将被删除";
    stays: "What stays, and why", "将保留的内容及原因";
    already_gone: "it is gone already", "已不存在";
    would_be_freed: "Would be freed in this repository", "将释放";
    freed_later: "The space is free after the collection of unused content.", "空间将在回收未使用内容后释放。";
    compare: "Compare", "比较";
    compare_selected: "Compare the two selected", "比较所选两项";
    select_two: "Select two versions to compare.", "请选择两个版本进行比较。";
    /// A heading, before A or B.
    only_in: "Only in", "仅在";
    in_both: "In both", "两者共有";
    no_difference: "No difference.", "没有差异。";
}

impl Texts {
    /// A heading.
    pub(crate) fn delete_heading(self, count: usize) -> String {
        match self {
            Self::English => match count {
                0 => "Nothing can be deleted".to_owned(),
                1 => "Delete 1 version?".to_owned(),
                count => format!("Delete {count} versions?"),
            },
            Self::Chinese => match count {
                0 => "没有可删除的内容".to_owned(),
                count => format!("删除 {count} 个版本？"),
            },
        }
    }

    /// A button.
    pub(crate) fn delete_button(self, count: usize) -> String {
        match self {
            Self::English => match count {
                1 => "Delete 1 version".to_owned(),
                count => format!("Delete {count} versions"),
            },
            Self::Chinese => format!("删除 {count} 个版本"),
        }
    }

    /// The reason for which a version stays.
    pub(crate) fn has_tag(self, tag: &str) -> String {
        match self {
            Self::English => format!("it has the tag {tag}"),
            Self::Chinese => format!("它有标签 {tag}"),
        }
    }

    /// The reason for which a version stays.
    pub(crate) fn has_immutable_tag(self, tag: &str) -> String {
        match self {
            Self::English => format!("its tag {tag} is immutable"),
            Self::Chinese => format!("其标签 {tag} 不可变"),
        }
    }

    /// A sentence of the page: the number of shared layers and of all, the difference in size, and its sign.
    pub(crate) fn compare_summary(
        self,
        shared: usize,
        all: usize,
        size: &str,
        difference: i64,
    ) -> String {
        match self {
            Self::English => {
                let relation = match difference {
                    0 => "B is as large as A".to_owned(),
                    1.. => format!("B is {size} larger"),
                    _ => format!("B is {size} smaller"),
                };
                format!("{shared} of {all} layers are shared; {relation}.")
            }
            Self::Chinese => {
                let relation = match difference {
                    0 => "B 与 A 大小相同".to_owned(),
                    1.. => format!("B 大 {size}"),
                    _ => format!("B 小 {size}"),
                };
                format!("共 {all} 层，其中 {shared} 层共享；{relation}。")
            }
        }
    }
}
