// Renders a deep zoom into the Mandelbrot set, tile by tile, on every core of the job.
#include <rankpool/rankpool.hpp>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "image.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "tile.hpp"

namespace rp = rankpool;
using namespace mandelbrot;

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string count(std::size_t number, const std::string& noun) {
  return std::to_string(number) + ' ' + noun + (number == 1 ? "" : "s");
}

/// Some tiles lie in quiet corners, others hold a hundred spirals: they go out one by one, so that no worker waits.
std::vector<RenderedTile> render_all(rp::Pool& pool, Size size, const std::vector<Tile>& tiles) {
  const auto progress = std::make_shared<Progress>(tiles.size());
  std::vector<rp::AsyncResult<RenderedTile>> results;
  for (const Tile& tile : tiles) {
    results.push_back(pool.apply_async(render_tile, size, tile));
    results.back().on_done([progress](const auto&) { progress->step(); });
  }
  std::vector<RenderedTile> rendered;
  for (auto& result : results) rendered.push_back(result.get());
  return rendered;
}

struct Baseline {
  std::size_t stride;  ///< every so many-th tile was rendered
  double seconds;
  double share;  ///< of the whole work
  bool same_pixels = true;
};

/// What this process alone needs, from a sample of the tiles: the work in each is known exactly.
Baseline measure_one_process(Size size, const std::vector<Tile>& tiles, const std::vector<RenderedTile>& rendered) {
  Baseline baseline{tiles.size() < 100 ? std::size_t{1} : std::size_t{9}, 0, 0};
  std::uint64_t sampled = 0;
  std::uint64_t all = 0;
  for (const RenderedTile& tile : rendered) all += tile.steps;
  render_tile(size, {0, 0, 1, 1});  // what is done once in a process must not count nine times
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < tiles.size(); i += baseline.stride) {
    const RenderedTile again = render_tile(size, tiles[i]);
    sampled += again.steps;
    baseline.same_pixels = baseline.same_pixels && again == rendered[i];
  }
  baseline.seconds = seconds_since(start);
  baseline.share = static_cast<double>(sampled) / static_cast<double>(all);
  return baseline;
}

int render(const Options& options) {
  const std::vector<Tile> tiles = cut_into_tiles(options.size);
  const auto start = std::chrono::steady_clock::now();
  rp::Pool pool;
  const std::vector<RenderedTile> rendered = render_all(pool, options.size, tiles);
  const double seconds = seconds_since(start);

  Image image(options.size);
  for (std::size_t i = 0; i < tiles.size(); ++i) image.paste(tiles[i], rendered[i]);
  image.write_png(options.output);

  std::printf("picture      %d x %d pixels in %s\n", options.size.width, options.size.height,
              count(tiles.size(), "tile").c_str());
  std::printf("time         %.2f s with %s on %s\n", seconds,
              count(static_cast<std::size_t>(pool.processes()), "worker").c_str(),
              count(static_cast<std::size_t>(rp::rank_count()), "rank").c_str());
  if (options.baseline) {
    const Baseline one = measure_one_process(options.size, tiles, rendered);
    if (!one.same_pixels) {
      std::fprintf(stderr, "mandelbrot: tiles from the pool differ from those rendered by one process\n");
      return 1;
    }
    std::printf("one process  %.2f s", one.seconds / one.share);
    if (one.stride > 1) {
      std::printf(": every %zuth tile again took %.2f s for %.1f %% of the work", one.stride, one.seconds,
                  100 * one.share);
    }
    std::printf("; same pixels\nspeed-up     %.2f\n", one.seconds / one.share / seconds);
  }
  std::printf("file         %s\n", std::filesystem::absolute(options.output).c_str());
  return 0;
}

int program(int argc, char** argv) {
  try {
    const Options options = parse_options(argc, argv);
    if (options.help) {
      std::fputs(usage, stdout);
      return 0;
    }
    return render(options);
  } catch (const UsageError& error) {
    std::fprintf(stderr, "mandelbrot: %s\nTry 'mandelbrot --help'.\n", error.what());
    return 2;
  }
}

}  // namespace

int main(int argc, char** argv) { return rp::run(argc, argv, program); }
