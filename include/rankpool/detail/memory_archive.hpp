// Boost.Serialization archives over memory: what runs a user's `serialize`.
#pragma once

#include <algorithm>
#include <boost/archive/archive_exception.hpp>
#include <boost/archive/detail/common_iarchive.hpp>
#include <boost/archive/detail/common_oarchive.hpp>
#include <boost/archive/detail/register_archive.hpp>
#include <boost/archive/impl/archive_serializer_map.ipp>
#include <boost/serialization/access.hpp>
#include <boost/serialization/array_wrapper.hpp>
#include <boost/serialization/base_object.hpp>
#include <boost/serialization/collection_size_type.hpp>
#include <boost/serialization/item_version_type.hpp>
#include <boost/serialization/nvp.hpp>
#include <boost/serialization/split_free.hpp>
#include <boost/serialization/split_member.hpp>
#include <boost/serialization/tracking.hpp>
#include <boost/serialization/type_info_implementation.hpp>
#include <boost/serialization/version.hpp>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/padding.hpp>
#include <rankpool/detail/raw.hpp>
#include <rankpool/detail/reader.hpp>

namespace rankpool::detail {

// Completed in codec.hpp. An archive hands values that need no Boost (numbers, std types, rankpool's handles) straight
// to the codec, so users need no Boost header for their members, and damaged lengths are found before memory is asked
// for.
template <class T>
struct IsDirect;
template <class Out, class T>
void save_value(Out& out, const T& value);
template <class In, class T>
void load_into(In& in, T& value);

namespace probe {
template <class T>
struct IsNvp : std::false_type {};
template <class T>
struct IsNvp<boost::serialization::nvp<T>> : std::true_type {};
template <class T>
struct IsArrayWrapper : std::false_type {};
template <class T>
struct IsArrayWrapper<boost::serialization::array_wrapper<T>> : std::true_type {};
// The numbers that Boost itself writes about classes and objects.
template <class T, class... Numbers>
concept OneOf = (std::same_as<T, Numbers> || ...);
template <class T>
concept BoostNumber =
    OneOf<T, boost::archive::object_id_type, boost::archive::object_reference_type, boost::archive::class_id_type,
          boost::archive::class_id_reference_type, boost::archive::version_type, boost::archive::tracking_type,
          boost::serialization::collection_size_type, boost::serialization::item_version_type>;
}  // namespace probe

/// Appends to a buffer. Versions, tracking and pointers to bases as Boost does them; no header.
class MemoryOArchive : public boost::archive::detail::common_oarchive<MemoryOArchive> {
  using Base = boost::archive::detail::common_oarchive<MemoryOArchive>;
  friend class boost::archive::detail::interface_oarchive<MemoryOArchive>;
  friend class boost::archive::save_access;

 public:
  explicit MemoryOArchive(Buffer& out) : Base(boost::archive::no_header), out_(out) {}

  void save_binary(const void* from, std::size_t count) { out_.append(from, count); }
  Buffer& buffer() noexcept { return out_; }
  MemoryOArchive& archive() noexcept { return *this; }

  template <class T>
  void save_override(const T& value) {
    if constexpr (std::is_array_v<T>) {
      save_elements(&value[0], std::extent_v<T>);
    } else if constexpr (probe::IsNvp<T>::value) {
      *this << value.const_value();
    } else if constexpr (probe::IsArrayWrapper<T>::value) {
      save_elements(value.address(), value.count());
    } else if constexpr (probe::BoostNumber<T>) {
      out_.append(&value, sizeof value);
    } else if constexpr (IsDirect<T>::value) {
      save_value(*this, value);
    } else {
      check_depth();
      Base::save_override(value);
    }
  }
  void save_override(const boost::archive::class_id_optional_type&) {}
  void save_override(const boost::archive::class_name_type& name) { *this << std::string(name); }

 private:
  template <class T>
  void save_elements(const T* from, std::size_t count) {
    if constexpr (IsRaw<std::remove_cv_t<T>>::value) {
      append_raw(out_, from, count);
    } else {
      for (std::size_t i = 0; i < count; ++i) *this << from[i];
    }
  }

  Buffer& out_;
};

/// Reads what MemoryOArchive has written.
class MemoryIArchive : public boost::archive::detail::common_iarchive<MemoryIArchive> {
  using Base = boost::archive::detail::common_iarchive<MemoryIArchive>;
  friend class boost::archive::detail::interface_iarchive<MemoryIArchive>;
  friend class boost::archive::load_access;

 public:
  explicit MemoryIArchive(Reader& in) : Base(boost::archive::no_header), in_(in) {}

  void load_binary(void* into, std::size_t count) { in_.read(into, count); }
  /// Called by Boost for what is pointed to, or by users; see `note_class`.
  template <class T>
  const boost::archive::detail::basic_pointer_iserializer* register_type(const T* = nullptr) {
    note_class<std::remove_cv_t<T>>();
    return Base::template register_type<T>();
  }
  Reader& reader() noexcept { return in_; }
  MemoryIArchive& archive() noexcept { return *this; }

  template <class T>
  void load_override(T& value) {
    if constexpr (std::is_array_v<T>) {
      load_elements(&value[0], std::extent_v<T>);
    } else if constexpr (probe::IsNvp<std::remove_const_t<T>>::value) {
      *this >> value.value();
    } else if constexpr (probe::IsArrayWrapper<std::remove_const_t<T>>::value) {
      load_elements(value.address(), value.count());
    } else if constexpr (probe::BoostNumber<T>) {
      in_.read(static_cast<void*>(&value), sizeof value);
    } else if constexpr (IsDirect<T>::value) {
      load_into(*this, value);
    } else {
      check_depth();
      if constexpr (std::is_pointer_v<T>) {
        points_to_polymorphic_ = std::is_polymorphic_v<std::remove_pointer_t<T>>;
      } else {
        note_class<std::remove_cv_t<T>>();
      }
      Base::load_override(value);
    }
  }
  void load_override(boost::archive::class_id_optional_type&) {}
  void load_override(boost::archive::class_name_type& name) {
    std::string text;
    *this >> text;
    if (text.size() >= BOOST_SERIALIZATION_MAX_KEY_SIZE) throw_damaged("the name of a class is too long");
    std::memcpy(static_cast<char*>(name), text.c_str(), text.size() + 1);
    // A name comes with a class that is new to the archive, or Boost would mistake one number for another.
    const auto* const type = boost::serialization::extended_type_info::find(text.c_str());
    if (type != nullptr && !note_class(type)) throw_damaged("a class is called new that is not");
  }
  void load_override(boost::archive::tracking_type& tracking) {
    tracking = boost::archive::tracking_type(in_.get_bool());
  }
  void load_override(boost::archive::class_id_type& id) {
    const auto number = in_.get<std::int16_t>();
    if (number < -1) throw_damaged("the number of a class is negative");
    const auto known = static_cast<std::int64_t>(classes_.size());
    if (number > known || (number == known && !points_to_polymorphic_))
      throw_damaged("there is no class of such a number");
    id = boost::archive::class_id_type(number);
  }
  // Boost's own loaders of containers that the codec does not know ask for memory by this number.
  void load_override(boost::serialization::collection_size_type& size) {
    constexpr std::size_t elements_without_bytes = 1024;
    const auto number = in_.get<std::uint64_t>();
    if (number > in_.remaining() + elements_without_bytes) {
      throw_damaged("a number of elements is larger than the message");
    }
    size = boost::serialization::collection_size_type(static_cast<std::size_t>(number));
  }

 private:
  template <class T>
  void load_elements(T* into, std::size_t count) {
    if constexpr (IsRaw<T>::value && !std::is_same_v<T, bool>) {
      const auto bytes = in_.take(std::uint64_t{count} * sizeof(T));
      if (count != 0) std::memcpy(into, bytes.data(), bytes.size());
    } else {
      for (std::size_t i = 0; i < count; ++i) *this >> into[i];
    }
  }

  // Boost numbers classes as it meets them, and uses a number that it reads as an index without a look at how many
  // there are. So they are counted here in the same way: whatever is not read by the codec, and does not get by without
  // a class, is a class.
  template <class T>
  void note_class() {
    using boost::serialization::implementation_level;
    constexpr int level = implementation_level<T>::value;
    constexpr bool only_content = level == boost::serialization::primitive_type ||
                                  (level == boost::serialization::object_serializable &&
                                   boost::serialization::tracking_level<T>::value == boost::serialization::track_never);
    if constexpr (std::is_class_v<T> && !only_content && level != boost::serialization::not_serializable) {
      note_class(&boost::serialization::type_info_implementation<T>::type::get_const_instance());
    }
  }
  /// False if it was known.
  bool note_class(const boost::serialization::extended_type_info* type) {
    if (std::find(classes_.begin(), classes_.end(), type) != classes_.end()) return false;
    classes_.push_back(type);
    return true;
  }

  Reader& in_;
  std::vector<const boost::serialization::extended_type_info*> classes_;
  bool points_to_polymorphic_ = false;  // the pointer that is read
};

/// Where a single value is written: makes an archive only if some part of the value needs one.
class Output {
 public:
  explicit Output(Buffer& out) noexcept : out_(out) {}
  Buffer& buffer() noexcept { return out_; }
  MemoryOArchive& archive() {
    if (archive_ == nullptr) archive_ = std::make_unique<MemoryOArchive>(out_);
    return *archive_;
  }

 private:
  Buffer& out_;
  std::unique_ptr<MemoryOArchive> archive_;
};

/// Where a single value is read from.
class Input {
 public:
  explicit Input(Reader& in) noexcept : in_(in) {}
  Reader& reader() noexcept { return in_; }
  MemoryIArchive& archive() {
    if (archive_ == nullptr) archive_ = std::make_unique<MemoryIArchive>(in_);
    return *archive_;
  }

 private:
  Reader& in_;
  std::unique_ptr<MemoryIArchive> archive_;
};

}  // namespace rankpool::detail

BOOST_SERIALIZATION_REGISTER_ARCHIVE(rankpool::detail::MemoryOArchive)
BOOST_SERIALIZATION_REGISTER_ARCHIVE(rankpool::detail::MemoryIArchive)

#include <rankpool/detail/codec.hpp>
