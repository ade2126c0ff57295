// What users write in `serialize` works on rankpool's archives as it does on Boost's own.
#include <gtest/gtest.h>

#include <boost/serialization/export.hpp>
#include <boost/serialization/shared_ptr.hpp>
#include <boost/serialization/valarray.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <unordered_map>
#include <valarray>
#include <variant>
#include <vector>

#include <rankpool/detail/memory_archive.hpp>
#include <rankpool/errors.hpp>

namespace memory_archive_test {

using rankpool::SerializationError;
using rankpool::detail::Buffer;
using rankpool::detail::MemoryIArchive;
using rankpool::detail::MemoryOArchive;
using rankpool::detail::Reader;

template <class T>
void copy(const T& from, T& to) {
  Buffer buffer;
  {
    MemoryOArchive out(buffer);
    out << from;
  }
  Reader reader({buffer.data(), buffer.size()});
  {
    MemoryIArchive in(reader);
    in >> to;
  }
  EXPECT_EQ(reader.remaining(), 0u);
}

enum class Large : std::uint64_t { value = 0x123456789abcdef0 };
struct Plain {
  int a = 0;
  double b = 0;
  bool operator==(const Plain&) const = default;
};

class Everything {  // no Boost header is needed for any of these
 public:
  Large large{};
  bool flag = false;
  Plain plain;
  std::string text;
  std::vector<std::string> names;
  std::vector<bool> bits;
  std::map<std::string, std::vector<int>> map;
  std::unordered_map<int, std::string> hashed;
  std::set<int> set;
  std::optional<std::string> optional;
  std::tuple<int, std::string> tuple;
  std::variant<int, std::vector<Plain>> variant;
  std::pair<int, std::string> pair;
  std::array<std::string, 2> array;
  double c_array[3] = {};
  std::string c_texts[2];
  bool operator==(const Everything&) const = default;

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& large& flag& plain& text& names& bits& map& hashed& set& optional& tuple& variant& pair& array& c_array&
        c_texts;
  }
};

TEST(MemoryArchive, MembersOfEveryKind) {
  Everything from;
  from.large = Large::value;
  from.flag = true;
  from.plain = {1, 2};
  from.text = "text";
  from.names = {"a", "b"};
  from.bits = {true, false, true};
  from.map = {{"x", {1, 2}}};
  from.hashed = {{1, "one"}};
  from.set = {1, 2};
  from.optional = "there";
  from.tuple = {1, "tuple"};
  from.variant = std::vector<Plain>{{3, 4}};
  from.pair = {5, "pair"};
  from.array = {"l", "r"};
  from.c_array[1] = 7;
  from.c_texts[1] = "last";
  Everything to;
  copy(from, to);
  EXPECT_TRUE(from == to);
}

struct Split {
  int a = 0;
  int loaded = 0;
  template <class Archive>
  void save(Archive& archive, unsigned) const {
    archive << a;
  }
  template <class Archive>
  void load(Archive& archive, unsigned) {
    archive >> a;
    loaded = a;
  }
  BOOST_SERIALIZATION_SPLIT_MEMBER()
};
struct Free {
  int a = 0;
};
template <class Archive>
void serialize(Archive& archive, Free& free, unsigned) {
  archive& boost::serialization::make_nvp("a", free.a);
}

TEST(MemoryArchive, SplitFreeAndNamed) {
  Split split;
  copy(Split{3, 0}, split);
  EXPECT_EQ(split.loaded, 3);
  Free free;
  copy(Free{4}, free);
  EXPECT_EQ(free.a, 4);
}

struct Versioned {
  int a = 0;
  unsigned seen = 0;
  template <class Archive>
  void serialize(Archive& archive, unsigned version) {
    archive& a;
    seen = version;
  }
};

}  // namespace memory_archive_test
BOOST_CLASS_VERSION(memory_archive_test::Versioned, 3)
namespace memory_archive_test {

TEST(MemoryArchive, Versions) {
  Versioned to;
  copy(Versioned{1, 0}, to);
  EXPECT_EQ(to.seen, 3u);
}

/// Boost forgets an object that it was reading through a pointer when the bytes end; this remembers it.
struct Remembered {
  static void* operator new(std::size_t size) {
    static std::vector<std::unique_ptr<std::max_align_t[]>> all;
    all.push_back(std::make_unique<std::max_align_t[]>(size / sizeof(std::max_align_t) + 1));
    return all.back().get();
  }
  static void operator delete(void*) noexcept {}
};

struct Shape : Remembered {
  int id = 0;
  virtual ~Shape() = default;
  virtual double area() const { return 0; }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& id;
  }
};
struct Square : Shape {
  double side = 0;
  double area() const override { return side * side; }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& boost::serialization::base_object<Shape>(*this) & side;
  }
};
struct Drawing {
  std::vector<std::shared_ptr<Shape>> shapes;
  Shape* first = nullptr;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& shapes& first;
  }
};

TEST(MemoryArchive, PointersToBasesAndSharedObjects) {
  Drawing from;
  const auto square = std::make_shared<Square>();
  square->id = 7;
  square->side = 3;
  from.shapes = {square, std::make_shared<Shape>(), square};
  from.first = square.get();
  Drawing to;
  copy(from, to);
  ASSERT_EQ(to.shapes.size(), 3u);
  EXPECT_EQ(to.shapes[0]->area(), 9);
  EXPECT_EQ(to.shapes[0]->id, 7);
  EXPECT_EQ(to.shapes[0], to.shapes[2]) << "one object stays one object";
  EXPECT_EQ(to.first, to.shapes[0].get());
  EXPECT_EQ(to.shapes[1]->area(), 0);
}

TEST(MemoryArchive, OneArchiveForAllPartsOfAValue) {
  // The elements of a std container share an archive, so what two of them share stays shared.
  using T = std::vector<std::shared_ptr<Shape>>;
  const auto shape = std::make_shared<Square>();
  Buffer buffer;
  rankpool::detail::Codec<T>::encode(buffer, {shape, shape});
  Reader reader({buffer.data(), buffer.size()});
  const T back = rankpool::detail::Codec<T>::decode(reader);
  EXPECT_EQ(back.at(0), back.at(1));
  EXPECT_EQ(back.at(0).use_count(), 2);
}

struct Graph {  // points into its own vector
  std::vector<Shape> shapes;
  Shape* chosen = nullptr;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& shapes& chosen;
  }
};

TEST(MemoryArchive, PointersIntoAContainerStayThere) {
  Graph from;
  from.shapes.resize(5);
  from.shapes[3].id = 33;
  from.chosen = &from.shapes[3];
  Graph to;
  copy(from, to);
  EXPECT_EQ(to.chosen, &to.shapes[3]);
  EXPECT_EQ(to.chosen->id, 33);
}

TEST(MemoryArchive, BoostsOwnContainers) {
  std::valarray<double> to;
  copy(std::valarray<double>{1, 2, 3}, to);
  EXPECT_EQ(to.size(), 3u);
  EXPECT_EQ(to[2], 3);
}

TEST(MemoryArchive, HostileLengths) {
  Buffer buffer;
  {
    MemoryOArchive out(buffer);
    out << std::valarray<double>{1, 2, 3};
  }
  bool refused = false;
  for (std::size_t at = 0; at + 8 <= buffer.size(); ++at) {  // wherever the number of elements is
    std::vector<std::byte> damaged(buffer.data(), buffer.data() + buffer.size());
    const std::uint64_t huge = std::uint64_t{1} << 50;
    std::memcpy(&damaged[at], &huge, sizeof huge);
    Reader reader(damaged);
    MemoryIArchive in(reader);
    std::valarray<double> to;
    try {
      in >> to;
    } catch (const SerializationError&) {
      refused = true;
    } catch (const boost::archive::archive_exception&) {
    }
  }
  EXPECT_TRUE(refused);
}

TEST(MemoryArchive, EveryCutOfAGraphIsRefused) {
  Buffer buffer;
  {
    Square square;
    const Shape* const shape = &square;
    MemoryOArchive out(buffer);
    out << shape << shape;
  }
  for (std::size_t size = 0; size < buffer.size(); ++size) {
    Reader reader({buffer.data(), size});
    MemoryIArchive in(reader);
    Shape* first = nullptr;
    Shape* second = nullptr;
    EXPECT_THROW(in >> first >> second, std::exception) << size;
    in.delete_created_pointers();
  }
}

}  // namespace memory_archive_test

BOOST_CLASS_EXPORT(memory_archive_test::Square)
