// A vector that is cheap to shorten and to extend at both ends.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <vector>

namespace rankpool::scheduler {

/// Contiguous items in order. Taking from the front is free, and inserting or erasing moves only the shorter side:
/// queues and nearly sorted sets stay cheap at any length, and nothing is allocated once the storage has grown.
template <class T>
class SlidingVector {
 public:
  bool empty() const noexcept { return head_ == items_.size(); }
  std::size_t size() const noexcept { return items_.size() - head_; }
  T& operator[](std::size_t index) noexcept { return items_[head_ + index]; }
  const T& operator[](std::size_t index) const noexcept { return items_[head_ + index]; }
  T& front() noexcept { return items_[head_]; }
  const T& front() const noexcept { return items_[head_]; }
  T& back() noexcept { return items_.back(); }
  const T& back() const noexcept { return items_.back(); }
  T* begin() noexcept { return items_.data() + head_; }
  T* end() noexcept { return items_.data() + items_.size(); }
  const T* begin() const noexcept { return items_.data() + head_; }
  const T* end() const noexcept { return items_.data() + items_.size(); }

  void clear() noexcept {
    items_.clear();
    head_ = 0;
  }

  void push_back(const T& item) {
    const T copy = item;
    close_gap_if_full();
    items_.push_back(copy);
  }

  void push_front(const T& item) { insert(0, item); }

  void pop_front() noexcept {
    ++head_;
    if (empty()) clear();
  }

  /// Before the item at `index`, or at the end.
  void insert(std::size_t index, const T& item) {
    const T copy = item;
    if (2 * index >= size()) {
      close_gap_if_full();
      items_.insert(at(head_ + index), copy);
      return;
    }
    if (head_ == 0) open_gap();
    std::move(at(head_), at(head_ + index), at(head_ - 1));
    --head_;
    items_[head_ + index] = copy;
  }

  void erase(std::size_t index) { erase(index, index + 1); }

  /// The items at [first, last).
  void erase(std::size_t first, std::size_t last) {
    if (first < size() - last) {
      std::move_backward(at(head_), at(head_ + first), at(head_ + last));
      head_ += last - first;
    } else {
      items_.erase(at(head_ + first), at(head_ + last));
    }
    if (empty()) clear();
  }

  template <class Predicate>
  void erase_if(Predicate predicate) {
    items_.erase(std::remove_if(at(head_), items_.end(), predicate), items_.end());
    if (empty()) clear();
  }

 private:
  typename std::vector<T>::iterator at(std::size_t position) noexcept {
    return items_.begin() + static_cast<std::ptrdiff_t>(position);
  }

  // Reusing the space of what was taken, once it is half of all, keeps the cost per item constant.
  void close_gap_if_full() {
    if (items_.size() < items_.capacity() || 2 * head_ < items_.size() || head_ == 0) return;
    items_.erase(items_.begin(), at(head_));
    head_ = 0;
  }

  void open_gap() {
    const std::size_t gap = size() / 2 + 4;
    items_.insert(items_.begin(), gap, T{});
    head_ = gap;
  }

  std::vector<T> items_;
  std::size_t head_ = 0;
};

}  // namespace rankpool::scheduler
