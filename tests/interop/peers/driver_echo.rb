# An echo server on websocket-driver (Debian: ruby-websocket-driver), a thread for each connection.
#
#     ruby driver_echo.rb
#
# Prints "listening <port>". A text that begins with a slash is an order: "/ping <data>", "/close [code] [reason]".

require 'socket'
require 'websocket/driver'

STDOUT.sync = true

class Connection
  def initialize(socket)
    @socket = socket
    @open = true
    @driver = WebSocket::Driver.server(self)
    @driver.on(:connect) { @driver.start }
    @driver.on(:message) { |event| answer(event.data) }
    @driver.on(:error) { |error| warn "#{error.class}: #{error.message}" }
    @driver.on(:close) { @open = false }
  end

  def write(data)
    @socket.write(data)
  end

  def serve
    @driver.parse(@socket.readpartial(65_536)) while @open
  rescue SystemCallError, IOError => error
    warn "#{error.class}: #{error.message}" unless error.is_a?(EOFError)
  ensure
    @socket.close
  end

  private

  def answer(message)
    return @driver.binary(message) if message.is_a?(Array)
    return @driver.text(message) unless message.start_with?('/')

    verb, first, rest = message.split(' ', 3)
    case verb
    when '/ping' then @driver.ping(first)
    when '/close' then @driver.close(rest, first && first.to_i)
    end
  end
end

server = TCPServer.new('127.0.0.1', 0)
puts "listening #{server.addr[1]}"
loop do
  Thread.new(server.accept) { |socket| Connection.new(socket).serve }
end
