# websocket-driver on EventMachine, as its README joins them (Debian: ruby-websocket-driver, ruby-eventmachine).

require 'eventmachine'
require 'websocket/driver'

module Connection
  def post_init
    @driver = WebSocket::Driver.server(self)
    @driver.on(:connect) { @driver.start }
    @driver.on(:message) { |event| event.data.is_a?(Array) ? @driver.binary(event.data) : @driver.text(event.data) }
    @driver.on(:error) { |error| warn "#{error.class}: #{error.message}" }
    @driver.on(:close) { close_connection_after_writing }
  end

  def receive_data(data)
    @driver.parse(data)
  end

  def write(data)
    send_data(data)
  end
end

EM.epoll
EM.run { EM.start_server('127.0.0.1', Integer(ARGV[0]), Connection) }
