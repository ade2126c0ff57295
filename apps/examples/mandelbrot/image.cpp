#include "image.hpp"

#include <png.h>

#include <algorithm>
#include <cstddef>
#include <stdexcept>

namespace mandelbrot {

Image::Image(Size size)
    : size_(size), rgb_(static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height) * 3) {}

void Image::paste(const Tile& tile, const RenderedTile& rendered) {
  const std::ptrdiff_t row_bytes = std::ptrdiff_t{3} * tile.width;
  for (std::ptrdiff_t row = 0; row < tile.height; ++row) {
    const std::ptrdiff_t target = ((tile.y + row) * size_.width + tile.x) * 3;
    std::copy_n(rendered.rgb.begin() + row * row_bytes, row_bytes, rgb_.begin() + target);
  }
}

void Image::write_png(const std::filesystem::path& file) const {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(size_.width);
  image.height = static_cast<png_uint_32>(size_.height);
  image.format = PNG_FORMAT_RGB;
  if (png_image_write_to_file(&image, file.c_str(), 0, rgb_.data(), 0, nullptr) == 0) {
    throw std::runtime_error("cannot write '" + file.string() + "': " + image.message);
  }
}

}  // namespace mandelbrot
